"""Models saved by another version of transformers compute the same in this one."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from models import IDS, model_of
from transformers import CONFIG_MAPPING, AutoConfig

from lrltrain.artifact import save_model
from lrltrain.models import find_base, load_model
from lrltrain.rotary import add_earlier_keys, earlier_keys

THETA, WIDTH = 5e5, 8
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 64}
LATER = {"rope_theta": THETA, "rope_type": "default"}
EARLIER_KEYS = ("rope_theta", "rope_scaling", "rope_local_base_freq", "partial_rotary_factor")


def saved(folder: Path, **changes: Any) -> dict[str, Any]:
    """Save a small LLaMA, change its config.json, and return what was saved."""
    save_model(model_of("llama"), folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    changed = {key: value for key, value in config.items() if key not in (*EARLIER_KEYS, "rope_parameters")}
    (folder / "config.json").write_text(json.dumps(changed | changes), "utf-8")
    return dict(config)


def frequencies(folder: Path) -> torch.Tensor:
    model = load_model(find_base(str(folder)))
    frequencies: torch.Tensor = model.model.rotary_emb.inv_freq
    return frequencies


@pytest.mark.parametrize("parameters", [LATER, {"rope_theta": THETA, **LLAMA3}], ids=["default", "llama3"])
def test_positions_are_read_alike_from_the_keys_of_both_versions(parameters: dict[str, Any], tmp_path: Path) -> None:
    saved(tmp_path / "later", rope_parameters=parameters)
    saved(tmp_path / "earlier", **earlier_keys("llama", parameters))
    later = frequencies(tmp_path / "later")
    assert torch.equal(later, frequencies(tmp_path / "earlier"))
    expected = THETA ** -(torch.arange(0, 2 * len(later), 2) / (2 * len(later)))
    assert torch.allclose(later, expected) is (parameters == LATER)
    assert later[0] == 1


def test_a_model_is_saved_with_the_keys_of_both_versions(tmp_path: Path) -> None:
    config = saved(tmp_path / "llama")
    theta = config.get("rope_parameters", config)["rope_theta"]
    assert (config["rope_theta"], config["rope_scaling"]) == (theta, None)


def test_the_keys_of_transformers_4_are_those_that_its_models_read() -> None:
    sliding = {"full_attention": {**LATER, **LLAMA3}, "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"}}
    gemma = {"rope_theta": THETA, "rope_scaling": LLAMA3, "rope_local_base_freq": 1e4}
    assert earlier_keys("gemma3_text", sliding) == gemma
    assert earlier_keys("modernbert", sliding) == {"global_rope_theta": THETA, "local_rope_theta": 1e4}
    partial = earlier_keys("gpt_neox", {**LATER, "partial_rotary_factor": 0.25})
    assert partial == {
        "rope_theta": THETA,
        "rope_scaling": None,
        "partial_rotary_factor": 0.25,
        "rotary_emb_base": THETA,
        "rotary_pct": 0.25,
    }


@pytest.mark.skipif(transformers.__version__ < "5", reason="transformers 4 reads these keys by themselves")
@pytest.mark.parametrize("kind", ["gemma3_text", "modernbert", "qwen3", "gemma4_text", "laguna"])
def test_the_additional_keys_do_not_change_how_a_model_is_read(kind: str, tmp_path: Path) -> None:
    if kind not in CONFIG_MAPPING:
        pytest.skip("this version of transformers does not have this type")
    config = CONFIG_MAPPING[kind]()
    config.save_pretrained(tmp_path)
    add_earlier_keys(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert again.rope_parameters == config.rope_parameters


def test_longrope_has_only_the_keys_that_transformers_4_allows() -> None:
    factors = {"short_factor": [1.0], "long_factor": [2.0]}
    parameters = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 64, **factors}
    assert earlier_keys("phi3", parameters)["rope_scaling"] == {"type": "longrope", **factors}


@pytest.mark.skipif(transformers.__version__ < "5", reason="transformers 4 does not have this type")
def test_weights_that_are_saved_under_other_names_are_saved_once(tmp_path: Path) -> None:
    model = model_of("jina_embeddings_v3", pad_token_id=1)
    save_model(model, tmp_path)
    again = load_model(find_base(str(tmp_path)))
    assert torch.equal(model(IDS).logits, again(IDS).logits)
