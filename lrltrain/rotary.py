"""Rotary position embeddings in a model's configuration, which transformers 4 and 5 describe by different keys.

Each version writes only its own keys. transformers 5 reads both; transformers 4 ignores the new ones and uses the
defaults of the model's type, so that a model computes something else without an error.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig

from lrldata.manifest import write_json, write_text

_CONFIG = "config.json"


def earlier_keys(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of transformers 4 for the `rope_parameters` of transformers 5 of a model type."""
    full, sliding = parameters.get("full_attention"), parameters.get("sliding_attention")
    if full and sliding and kind.startswith("modernbert"):
        return {"global_rope_theta": full["rope_theta"], "local_rope_theta": sliding["rope_theta"]}
    if full and sliding:  # Gemma 3
        return earlier_keys(kind, full) | {"rope_local_base_freq": sliding["rope_theta"]}
    if "rope_theta" not in parameters:
        return {}
    theta, share = parameters["rope_theta"], parameters.get("partial_rotary_factor")
    if kind == "phi3" and parameters.get("rope_type") == "longrope":  # transformers 4 allows only three keys here
        factors = {key: parameters[key] for key in ("short_factor", "long_factor")}
        return {"rope_theta": theta, "rope_scaling": {"type": "longrope", **factors}}
    scaling = {key: value for key, value in parameters.items() if key not in ("rope_theta", "partial_rotary_factor")}
    keys = {"rope_theta": theta, "rope_scaling": None if scaling.get("rope_type") == "default" else scaling}
    if share is not None:
        keys["partial_rotary_factor"] = share
    if kind == "gpt_neox":
        keys |= {"rotary_emb_base": theta} | ({} if share is None else {"rotary_pct": share})
    return keys


def add_earlier_keys(folder: Path) -> None:
    """Add the keys of transformers 4 to the configuration of a saved model, and to that of its text part.

    They are left out if they would change how this version reads it, as for some types of models.
    """
    written = (folder / _CONFIG).read_text("utf-8")
    values = json.loads(written)
    configs = [part for part in (values, values.get("text_config")) if isinstance(part, dict)]
    rotary = [part for part in configs if isinstance(part.get("rope_parameters"), dict)]
    for part in rotary:
        part.update(earlier_keys(str(part.get("model_type")), part["rope_parameters"]))
    if rotary:
        before = _read(folder)
        write_json(folder / _CONFIG, values)
        if _read(folder) != before:
            write_text(folder / _CONFIG, written)


def _read(folder: Path) -> Any:
    """Return the settings of rotary embeddings as transformers reads them; None if it has none or refuses them."""
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception:  # noqa: BLE001 -- a wrong key may cause any error
        return None
    return getattr(config.get_text_config(), "rope_parameters", None)


def apply_later_keys(config: Any) -> None:
    """Make transformers 4 use the keys of transformers 5 in a configuration that it has read."""
    text = config.get_text_config()
    parameters = getattr(text, "rope_parameters", None)
    if transformers.__version__ < "5" and isinstance(parameters, Mapping):
        for key, value in earlier_keys(text.model_type, parameters).items():
            setattr(text, key, value)
