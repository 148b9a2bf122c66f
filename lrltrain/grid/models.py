"""The names of a study's base models. No two of them share a folder or an id in its workspace."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrldata.errors import UsageError
from lrltrain.grid.config import Fits
from lrltrain.grid.job import BASE_FOLDER
from lrltrain.names import BUILT_IN, base_name, distinct, public_id


@dataclass(frozen=True)
class Model:
    """A base model: `model` as the study first spells it, the `folder` of its adapters, and an id and revision if set.

    A model on the Hub keeps its id. Two local models whose folders have the same name would share an id, so the second
    gets an id of its own.
    """

    model: str
    folder: str
    base_id: str | None = None
    base_revision: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels of the model's jobs, in addition to its name."""
        return {} if self.folder == base_name(self.model) else {BASE_FOLDER: self.folder}

    @property
    def of_eval(self) -> dict[str, str]:
        """Return the options of `lrltrain eval` for the model."""
        return {"base_id": self.base_id} if self.base_id else {}

    @property
    def of_eval_alone(self) -> dict[str, str]:
        """Return the options of `lrltrain eval` for the model alone; an adapter would name the revision itself."""
        return self.of_eval | ({"base_revision": self.base_revision} if self.base_revision else {})

    @property
    def of_fit(self) -> dict[str, str]:
        """Return the options of `lrltrain fit` for the model."""
        default = base_name(self.base_id or public_id(self.model))
        return self.of_eval | ({} if self.folder == default else {"base_folder": self.folder})


def models_of(tables: Sequence[Fits]) -> dict[str, Model]:
    """Return the models of all tables, each under every spelling that the tables use. Raises UsageError."""
    first_spelling: dict[str, str] = {}  # the first spelling of a model, by its path or id
    ids: dict[str, str] = {}
    folders: dict[str, str] = {}
    revisions: dict[str, str] = {}
    for number, fits in enumerate(tables, 1):
        for key in ("base_id", "base_folder"):
            if key in fits.options and len(set(fits.models)) > 1:
                raise UsageError(
                    f"[[fit]] {number}: {key.replace('_', '-')} applies to one model, not to {len(fits.models)}.",
                    "Give each model a table of its own.",
                )
        for model in fits.models:
            first = first_spelling.setdefault(_place(model), model)
            for key, chosen in (("base_id", ids), ("base_folder", folders), ("base_revision", revisions)):
                value = fits.options.get(key)
                if value and chosen.setdefault(first, str(value)) != str(value):
                    name = key.replace("_", "-")
                    raise UsageError(
                        f"[[fit]] {number}: {name} {value} of {model} conflicts with {chosen[first]}.",
                        f"Use one {name} for a model in a study.",
                    )
    all_ids = {model: ids.get(model) or public_id(model) for model in dict.fromkeys(first_spelling.values())}
    names = folders | {model: base_name(all_ids[model]) for model in all_ids if model not in folders}
    unique = distinct(names, {model: model for model in names})
    explicit_ids = ids | dict(_distinct_ids(all_ids, unique))
    models = {model: Model(model, unique[model], explicit_ids.get(model), revisions.get(model)) for model in all_ids}
    return {model: models[first_spelling[_place(model)]] for fits in tables for model in fits.models}


def _place(model: str) -> str:
    return str(Path(model).expanduser().resolve()) if _is_folder(model) else model


def _is_folder(model: str) -> bool:
    return model != BUILT_IN and Path(model).expanduser().is_dir()


def _distinct_ids(ids: Mapping[str, str], folders: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the local models whose id another model already has, each with an id of its own."""
    taken = {ids[model].casefold() for model in ids if not _is_folder(model)}
    for model, name in ids.items():
        if not _is_folder(model):
            continue
        if name.casefold() in taken:
            yield model, folders[model]
        taken.add(name.casefold())
