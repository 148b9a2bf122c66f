"""How the base models of a study are called: no two have one folder, or one id, in its workspace."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrldata.errors import UsageError
from lrltrain.grid.config import Fits
from lrltrain.grid.job import BASE_FOLDER
from lrltrain.names import BUILT_IN, base_name, distinct, public_id


@dataclass(frozen=True)
class Model:
    """A base model: `model` as a study names it first, `folder` of its adapters, id and revision where they are given.

    A model on the Hub keeps its id. Two folders of one name have one id by themselves, and the second is given its own.
    """

    model: str
    folder: str
    base_id: str | None = None
    base_revision: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Return what its jobs are labelled with beside its name."""
        return {} if self.folder == base_name(self.model) else {BASE_FOLDER: self.folder}

    @property
    def of_eval(self) -> dict[str, str]:
        """Return what `lrltrain eval` has to know."""
        return {"base_id": self.base_id} if self.base_id else {}

    @property
    def of_eval_alone(self) -> dict[str, str]:
        """Return what it has to know of the model without an adapter; with one, the adapter names the revision."""
        return self.of_eval | ({"base_revision": self.base_revision} if self.base_revision else {})

    @property
    def of_fit(self) -> dict[str, str]:
        """Return what `lrltrain fit` has to know."""
        usual = base_name(self.base_id or public_id(self.model))
        return self.of_eval | ({} if self.folder == usual else {"base_folder": self.folder})


def models_of(tables: Sequence[Fits]) -> dict[str, Model]:
    """Return the models of all tables, each under every spelling that it has in them. Raises UsageError."""
    spelled: dict[str, str] = {}  # where a model is: its first spelling
    ids: dict[str, str | None] = {}
    folders: dict[str, str] = {}
    revisions: dict[str, str] = {}
    for number, fits in enumerate(tables, 1):
        for key in ("base_id", "base_folder"):
            if key in fits.options and len(set(fits.models)) > 1:
                raise UsageError(
                    f"[[fit]] {number}: {key.replace('_', '-')} is for one model, and there are {len(fits.models)}.",
                    "Give each a table of its own.",
                )
        for model in fits.models:
            first = spelled.setdefault(_place(model), model)
            asked, folder = fits.options.get("base_id"), fits.options.get("base_folder")
            ids[first] = ids.get(first) or (str(asked) if asked else None)
            if folder:
                folders[first] = str(folder)
            revision = fits.options.get("base_revision")
            if revision and revisions.setdefault(first, str(revision)) != str(revision):
                raise UsageError(
                    f"[[fit]] {number}: base-revision {revision} of {model} beside {revisions[first]}.",
                    "Give a model one revision in a study.",
                )
    own = {model: asked or public_id(model) for model, asked in ids.items()}
    names = folders | {model: base_name(own[model]) for model in own if model not in folders}
    chosen = distinct(names, {model: model for model in names})
    given = {model: asked for model, asked in ids.items() if asked} | dict(_own_ids(own, chosen))
    found = {model: Model(model, chosen[model], given.get(model), revisions.get(model)) for model in own}
    return {model: found[spelled[_place(model)]] for fits in tables for model in fits.models}


def _place(model: str) -> str:
    return str(Path(model).resolve()) if _is_folder(model) else model


def _is_folder(model: str) -> bool:
    return model != BUILT_IN and Path(model).is_dir()


def _own_ids(ids: Mapping[str, str], folders: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the folders that would have the id of another model, with an id of their own."""
    taken = {ids[model].casefold() for model in ids if not _is_folder(model)}
    for model, name in ids.items():
        if not _is_folder(model):
            continue
        if name.casefold() in taken:
            yield model, folders[model]
        taken.add(name.casefold())
