"""What is known of a fit before a model is loaded: text, base model, tokenizer, folder, what shapes the weights. IO."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lrldata.errors import ModelError, UsageError
from lrldata.language import Language, find
from lrldata.manifest import ADAPTER, fingerprint, identity, is_unchanged, made_with, read_manifest
from lrltrain.artifact import open_adapter
from lrltrain.config import FitConfig
from lrltrain.fitting.corpus import tokenizer_fingerprint
from lrltrain.fitting.runs import like
from lrltrain.methods import check_base
from lrltrain.models import Base, find_base, load_tokenizer
from lrltrain.names import base_name
from lrltrain.text import Text, open_text
from lrltrain.training.processes import processes


@dataclass(frozen=True)
class Fitted:
    """An adapter's folder after a fit; `status` is `fitted` or `unchanged`."""

    path: Path
    status: str
    manifest: Mapping[str, Any]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-like values."""
        kept = {key: self.manifest[key] for key in ("method", "base", "trained")}
        return {"path": str(self.path), "status": self.status, "seconds": round(self.seconds, 3), **kept}


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
    folder = config.out / "adapters" / language.code / called / f"{config.source_name}-{config.method}"
    return Plan(config, language, text, base, tokenizer, folder, recipe)


def is_made(plan: Plan) -> bool:
    """Return whether the folder holds, undamaged, what this plan makes.

    With --resume it may also be what a run made whose settings were changed to these on the way.
    """
    home = plan.folder.resolve()
    manifest = read_manifest(home, ADAPTER)
    recipe = like(plan.recipe, manifest or {}, resumed=plan.config.resume)
    return is_unchanged(home, ADAPTER, fingerprint(recipe))


def adapter_name(language: Language, config: FitConfig) -> str:
    """Return the name under which the adapter is known inside a model: ug_conceptnet_seq_bn_inv."""
    return f"{language.code}_{config.source_name}_{config.method}".replace("-", "_")


def _adapter_entry(folder: Path, base: Base) -> dict[str, Any]:
    """Describe an adapter that is to be fused. Raises ModelError where it does not fit the base model."""
    manifest = open_adapter(folder)
    if manifest["method"] not in ("seq_bn", "seq_bn_inv"):  # fusion is over the outputs of bottlenecks
        raise ModelError(f"{folder}: {manifest['method']} cannot be fused.", "Give seq_bn or seq_bn_inv adapters.")
    check_base(folder, manifest, base)
    return {"kind": ADAPTER, "name": manifest["name"], "manifest_sha256": identity(folder, manifest)}
