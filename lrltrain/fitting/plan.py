"""What is known of a fit before a model is loaded: text, base model, tokenizer, folder, what shapes the weights. IO."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lrldata.errors import ModelError, UsageError
from lrldata.language import Language, find
from lrldata.manifest import ADAPTER, fingerprint, identity, is_unchanged, made_with, read_manifest
from lrldata.output import note
from lrldata.versions import other_versions
from lrldata.workspace import adapter_path, source_of_adapter
from lrltrain.artifact import NOT_NEEDED, open_adapter
from lrltrain.config import FitConfig
from lrltrain.fitting.runs import as_made_with, like
from lrltrain.methods import check_base
from lrltrain.models import MINI, Base, find_base, load_tokenizer
from lrltrain.modules.families import FAMILIES, family_named
from lrltrain.names import base_name, snapshot_of
from lrltrain.text import Text, dataset_folder, open_text
from lrltrain.training.corpus import tokenizer_fingerprint
from lrltrain.training.processes import first_process, processes


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder after a fit; `status` is `fitted` or `unchanged`.

    `dataset` and `base_folder` are the folders of what it was trained on and in, where these were of this machine.
    """

    path: Path
    status: str
    manifest: Mapping[str, Any] = field(repr=False)
    seconds: float
    workspace: Path
    dataset: Path | None = None
    base_folder: Path | None = None

    @property
    def name(self) -> str:
        """Return the name under which a model knows it."""
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
        """Return the lowest loss on the validation split, in nats a label."""
        return float(self.manifest["trained"]["validation_loss"])

    def load(self, model: Any) -> Any:
        """Put it into a model of transformers, active; see `lrltrain.load_adapter`. Raises ModelError."""
        from lrltrain.modules.load import load_adapter  # noqa: PLC0415

        return load_adapter(model, self.path)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        kept = {key: self.manifest[key] for key in ("name", "method", "base", "trained")}
        source = source_of_adapter(self.path.name, self.manifest)
        where = {"language": self.language, "source": source, "path": str(self.path)}
        return {**where, "status": self.status, "seconds": round(self.seconds, 3), **kept}


@dataclass(frozen=True)
class Plan:
    """All that is known before a model is loaded."""

    config: FitConfig
    language: Language
    text: Text
    base: Base
    tokenizer: Any
    folder: Path
    recipe: dict[str, Any]

    def adapter(self, status: str, manifest: Mapping[str, Any], seconds: float) -> Adapter:
        """Return what came of it."""
        config = self.config
        named = Path(config.dataset) if config.dataset else dataset_folder(config, self.language)
        dataset = named if not config.text and named.is_dir() else None
        held = Path(self.base.location) if self.base.content and self.base.id != MINI else None
        return Adapter(self.folder, status, manifest, seconds, config.out, dataset, held)


def _note_declared(config: FitConfig, base: Base) -> None:
    """Say where a folder is taken for the model that it names: it may be one that was trained from that."""
    folder = Path(config.base)
    given = config.base_id is None and config.base != MINI and folder.is_dir() and snapshot_of(folder) is None
    if given and base.id != folder.resolve().name and first_process():
        note(f"note: {config.base} says that it is {base.id}. If it was trained further, name it with --base-id.")


def prepare(config: FitConfig, beside: Plan | None = None) -> Plan:
    """Find text, base model and tokenizer, and name all that shapes the weights.

    `beside` is a plan whose base model and tokenizer are the same, and are taken from there.
    """
    language = find(config.lang)
    for tracker in config.tracker:
        if find_spec(tracker) is None:
            raise UsageError(f"--tracker: {tracker} is not installed.", f"Use `pip install {tracker}`.")
    text = open_text(config, language)
    base = beside.base if beside else find_base(config.base, config.base_revision, config.base_id, config.objective)
    if beside is None:
        _note_declared(config, base)
        if config.method != "full" and f"{base.architecture}_text" not in FAMILIES:
            family_named(base.architecture, base.id)  # before the text is read
    tokenizer = beside.tokenizer if beside else load_tokenizer(base)
    recipe = {
        "language": {"code": language.code, "name": language.name, "hub_code": language.hub_code},
        "method": config.method,
        "base": base.as_json(),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "inputs": [text.provenance, *(_adapter_entry(folder, base) for folder in config.adapters)],
        "settings": config.shaping() | {"processes": processes()},
        "made_with": made_with("transformers", "tokenizers", "torch"),
    }
    called = config.base_folder or base_name(base.id)
    folder = config.out / adapter_path(language.code, called, config.source_name, config.method, config.variant)
    return Plan(config, language, text, base, tokenizer, folder, recipe)


def is_made(plan: Plan) -> bool:
    """Return whether the folder holds, undamaged, what this plan makes, with whatever versions of the libraries.

    With --resume it may also be what a run made whose settings were changed to these on the way.
    """
    home = plan.folder.resolve()
    manifest = read_manifest(home, ADAPTER) or {}
    recipe = as_made_with(manifest, like(plan.recipe, manifest, resumed=plan.config.resume))
    if plan.base.weights and manifest.get("weights") == plan.base.weights:  # which other files may be beside
        recipe["base"] = {**recipe["base"], "content": manifest["base"].get("content")}
    return is_unchanged(home, ADAPTER, fingerprint(recipe), NOT_NEEDED)


def note_other_versions(plan: Plan, manifest: Mapping[str, Any]) -> None:
    """Say that a finished adapter was made with other versions of the libraries, where it was."""
    if first_process() and (told := other_versions(manifest, plan.recipe)):
        note(f"note: {plan.folder}: made with {told}, and kept. --overwrite trains it again.")


def adapter_name(language: Language, config: FitConfig) -> str:
    """Return the name under which the adapter is known inside a model: ug_conceptnet_seq_bn_inv[_VARIANT]."""
    parts = [language.code, config.source_name, config.method, config.variant]
    return re.sub(r"[-.]", "_", "_".join(filter(None, parts)))


def _adapter_entry(folder: Path, base: Base) -> dict[str, Any]:
    """Describe an adapter that is to be fused. Raises ModelError where it does not fit the base model."""
    manifest = open_adapter(folder)
    if manifest["method"] not in ("seq_bn", "seq_bn_inv"):  # fusion is over the outputs of bottlenecks
        raise ModelError(f"{folder}: {manifest['method']} cannot be fused.", "Give seq_bn or seq_bn_inv adapters.")
    check_base(folder, manifest, base)
    return {"kind": ADAPTER, "name": manifest["name"], "manifest_sha256": identity(folder, manifest)}
