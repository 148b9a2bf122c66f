"""What is known about a fit before a model is loaded: text, base model, tokenizer, folder, and the recipe. IO."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrldata.dataset import content_of
from lrldata.errors import ModelError, UsageError
from lrldata.language import Language, find
from lrldata.layout import adapter_path, source_of_adapter
from lrldata.manifest import ADAPTER, DATASET, fingerprint, identity, is_unchanged, made_with, read_manifest
from lrldata.output import note
from lrldata.versions import other_versions
from lrltrain.artifact import NOT_NEEDED, open_adapter
from lrltrain.config import FitConfig, check_trackers
from lrltrain.fitting.runs import as_made_with, as_recorded_by, run_folder, steps_kept
from lrltrain.methods import check_base
from lrltrain.models import MINI, Base, find_base, load_tokenizer
from lrltrain.modules.families import FAMILIES, family_named
from lrltrain.names import base_name, snapshot_of
from lrltrain.text import Text, dataset_folder, open_text
from lrltrain.training.corpus import tokenizer_fingerprint
from lrltrain.training.processes import Processes, first_process, process_count


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder after a fit; `status` is `fitted` or `unchanged`.

    `dataset` and `base_folder` are the folders of its dataset and its base model, if these are on this machine.
    """

    path: Path
    status: str
    manifest: Mapping[str, Any] = field(repr=False, hash=False)
    seconds: float
    workspace: Path
    dataset: Path | None = None
    base_folder: Path | None = None

    @property
    def name(self) -> str:
        """Return its name inside a model."""
        return str(self.manifest["name"])

    @property
    def method(self) -> str:
        """Return seq_bn, seq_bn_inv, lora, full or fusion."""
        return str(self.manifest["method"])

    @property
    def language(self) -> str:
        """Return the code of its language."""
        return str(self.manifest["language"]["code"])

    @property
    def base(self) -> str:
        """Return the id of its base model."""
        return str(self.manifest["base"]["id"])

    @property
    def validation_loss(self) -> float:
        """Return the lowest loss on the validation split, in nats per label."""
        return float(self.manifest["trained"]["validation_loss"])

    def check_current(self, *, with_dataset: bool = False) -> None:
        """Raise UsageError if another adapter is now in the folder, or, `with_dataset`, other rows in its dataset."""
        held = read_manifest(self.path, ADAPTER)
        if held and held["outputs"] != self.manifest["outputs"]:
            message = f"{self.path}: the adapter has been replaced by another one since."
            raise UsageError(message, "Train again, and give each adapter a name of its own with `variant`.")
        rows = read_manifest(self.dataset, DATASET) if with_dataset and self.dataset else None
        trained_on = self.manifest["inputs"][0]
        if self.dataset and rows and trained_on.get("content") not in (None, content_of(rows)):
            message = f"{self.dataset}: has other rows than when {self.name} was trained on it."
            raise UsageError(message, "Its test split may contain training lines. Train again, or give `data`.")

    def load(self, model: Any) -> Any:
        """Put it into a transformers model and activate it; see `lrltrain.load_adapter`.

        Raises ModelError, or UsageError if it has been replaced.
        """
        from lrltrain.modules.load import load_adapter  # noqa: PLC0415

        return load_adapter(model, self)

    def as_json(self) -> dict[str, Any]:
        """Return the adapter as JSON-like values."""
        details = {key: self.manifest[key] for key in ("name", "method", "base", "trained")}
        source = source_of_adapter(self.path.name, self.manifest)
        location = {"language": self.language, "source": source, "path": str(self.path)}
        return {**location, "status": self.status, "seconds": round(self.seconds, 3), **details}


@dataclass(frozen=True)
class Plan:
    """Everything that is known before a model is loaded."""

    config: FitConfig
    language: Language
    text: Text
    base: Base
    tokenizer: Any
    folder: Path
    recipe: dict[str, Any]

    def adapter(self, status: str, manifest: Mapping[str, Any], seconds: float) -> Adapter:
        """Return the resulting adapter."""
        config = self.config
        dataset_path = Path(config.dataset) if config.dataset else dataset_folder(config, self.language)
        dataset = dataset_path if not config.text and dataset_path.is_dir() else None
        base_folder = Path(self.base.location) if self.base.content and self.base.id != MINI else None
        return Adapter(self.folder, status, manifest, seconds, config.out, dataset, base_folder)


def _note_declared(config: FitConfig, base: Base) -> None:
    """Print a note if a folder is taken for the model it names, since it may be one trained further from that."""
    folder = Path(config.base)
    is_declared = config.base_id is None and config.base != MINI and folder.is_dir() and snapshot_of(folder) is None
    if is_declared and base.id != folder.resolve().name and first_process():
        note(f"{config.base} identifies itself as {base.id}. If it was trained further, name it with --base-id.")


def prepare(config: FitConfig, shared_with: Plan | None = None) -> Plan:
    """Find text, base model and tokenizer, and collect everything that shapes the weights.

    `shared_with` is a plan with the same base model and tokenizer, which are reused.
    """
    language = find(config.lang)
    check_trackers(config.tracker)
    text = open_text(config, language)
    base = (
        shared_with.base
        if shared_with
        else find_base(config.base, config.base_revision, config.base_id, config.objective)
    )
    if shared_with is None:
        _note_declared(config, base)
        if config.method != "full" and f"{base.architecture}_text" not in FAMILIES:
            family_named(base.architecture, base.id)  # fails before the text is read
    tokenizer = shared_with.tokenizer if shared_with else load_tokenizer(base)
    recipe = {
        "language": {"code": language.code, "name": language.name, "hub_code": language.hub_code},
        "method": config.method,
        "base": base.as_json(),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "inputs": [text.provenance, *fused_adapters(config, base)],
        "settings": config.shaping() | {"processes": process_count()},
        "made_with": made_with("transformers", "tokenizers", "torch"),
    }
    base_folder = config.base_folder or base_name(base.id)
    folder = config.out / adapter_path(language.code, base_folder, config.source_name, config.method, config.variant)
    return Plan(config, language, text, base, tokenizer, folder, recipe)


def is_made(plan: Plan) -> bool:
    """Return whether the folder holds what this plan makes, undamaged, whatever the versions of the libraries.

    With --resume, it may also be the result of a run whose settings were changed to these along the way.
    """
    home = plan.folder.resolve()
    manifest = read_manifest(home, ADAPTER) or {}
    recipe = as_made_with(manifest, as_recorded_by(plan.recipe, manifest, resumed=plan.config.resume))
    if plan.base.weights and manifest.get("weights") == plan.base.weights:  # other files may be next to the weights
        recipe["base"] = {**recipe["base"], "content": manifest["base"].get("content")}
    return is_unchanged(home, ADAPTER, fingerprint(recipe), NOT_NEEDED)


def note_other_versions(plan: Plan, manifest: Mapping[str, Any]) -> None:
    """Print a note if a finished adapter was made with other versions of the libraries."""
    if first_process() and (versions := other_versions(manifest, plan.recipe)):
        note(f"{plan.folder}: made with {versions}, and kept. Use --overwrite to train it again.")


def adapter_name(language: Language, config: FitConfig) -> str:
    """Return the adapter's name inside a model: ug_conceptnet_seq_bn_inv[_VARIANT]."""
    parts = [language.code, config.source_name, config.method, config.variant]
    return re.sub(r"[-.]", "_", "_".join(filter(None, parts)))


def fused_adapters(config: FitConfig, base: Base) -> list[dict[str, Any]]:
    """Describe the adapters that are to be fused, as they are now. Raises ModelError, StorageError."""
    return [_adapter_entry(folder, base) for folder in config.adapters]


def _adapter_entry(folder: Path, base: Base) -> dict[str, Any]:
    """Describe an adapter that is to be fused. Raises ModelError if it does not fit the base model."""
    manifest = open_adapter(folder)
    if manifest["method"] not in ("seq_bn", "seq_bn_inv"):  # fusion combines the outputs of bottlenecks
        raise ModelError(f"{folder}: {manifest['method']} cannot be fused.", "Give seq_bn or seq_bn_inv adapters.")
    check_base(folder, manifest, base)
    return {"kind": ADAPTER, "name": manifest["name"], "manifest_sha256": identity(folder, manifest)}


def check_agreement(plans: Sequence[Plan], process_group: Processes) -> None:
    """Raise UsageError if processes that are to train together have other text, settings or checkpoints."""
    own = [
        (
            plan.folder.name,
            fingerprint(plan.recipe),
            steps_kept(run_folder(plan.folder.resolve()), plan.recipe, plan.config),
        )
        for plan in plans
    ]
    if any(other != own for other in process_group.gather(own)):
        raise UsageError(
            "the processes have different text, settings, finished adapters or checkpoints.",
            "Give all of them the same options, and an --out on a disk that all machines share.",
        )
