"""Base models as they are published: quantized, sharded, with capped logits, with extra files."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import transformers
from models import model_of
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GenerationConfig,
    SiglipVisionConfig,
)

import lrltrain
from lrldata.errors import ModelError, StorageError
from lrldata.progress import Progress
from lrltrain.config import load_eval_config, load_fit_config
from lrltrain.evaluation import pseudo_perplexity, score_text
from lrltrain.evaluation.pseudo_perplexity import Copies, sums
from lrltrain.fitting import runs
from lrltrain.fitting.estimate import estimate
from lrltrain.fitting.fit import fit
from lrltrain.methods import check_base
from lrltrain.models import Base, find_base, load_model, load_tokenizer
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.local import find_local, open_local
from lrltrain.tokens import encode_chat

MINI = Path(lrltrain.__file__).parent / "mini"
QUIET = Progress(quiet=True)
SMALL: dict[str, Any] = {"method": "full", "steps": 2, "batch_size": 2, "max_length": 32, "eval_every": 2}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text("".join(f"Satul numărul {n} are {n % 7} fântâni și o moară.\n" for n in range(200)), "utf-8")
    return file


def save_model(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    load_tokenizer(find_base("lrl-mini")).save_pretrained(folder)
    return folder


def fit_config(base: Path, text: Path, out: Path, **more: Any) -> Any:
    options = SMALL | {"lang": "ro", "text": [text], "base": str(base), "out": out, "cache": out / "cache"}
    return load_fit_config(None, options | more)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save_model(model_of("llama", vocab_size=8002), tmp_path_factory.mktemp("models") / "small")


@pytest.mark.parametrize("name", ["weight_scale", "input_scale", "qweight", "absmax"])
def test_weights_in_an_unknown_quantization_format_are_refused(llama: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(llama, tmp_path / "quantized")
    weights = load_file(folder / "model.safetensors")
    load_model(find_base(str(folder)))
    weights[f"model.layers.0.self_attn.q_proj.{name}"] = torch.ones(1)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=rf"quantized in a format that transformers does not read \(.*{name}\)"):
        load_model(find_base(str(folder)))


@pytest.mark.skipif(transformers.__version__ < "5", reason="transformers 4 sets a pad token outside the text config")
@pytest.mark.parametrize("method", ["full", "seq_bn_inv", "lora"])
def test_the_text_part_of_a_model_for_images_and_text_is_adapted(method: str, text: Path, tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    text_config = Gemma3TextConfig(
        **sizes, vocab_size=8002, num_key_value_heads=2, head_dim=8, max_position_embeddings=128
    )
    vision_config = SiglipVisionConfig(**sizes, image_size=28, patch_size=14)
    config = Gemma3Config(text_config=text_config, vision_config=vision_config, mm_tokens_per_image=4)
    base = save_model(Gemma3ForConditionalGeneration(config), tmp_path / "both")
    options = fit_config(base, text, tmp_path / "ws", method=method)
    assert estimate(options, QUIET)["memory_bytes"] > 0
    adapter = fit(options, QUIET)
    assert adapter.status == "fitted"
    expected = load_file(adapter.path / "reference.safetensors")
    location = adapter.path if method == "full" else base
    model = AutoModelForCausalLM.from_pretrained(location, dtype=torch.float32).eval()
    if method != "full":
        plain = model(input_ids=expected["input_ids"]).logits[..., expected["words"]]
        assert not torch.allclose(plain, expected["logits"], atol=1e-4)
        lrltrain.load_adapter(model, adapter.path)
    assert torch.allclose(model(input_ids=expected["input_ids"]).logits[..., expected["words"]], expected["logits"])
    if method == "lora":
        for name in load_file(adapter.path / "peft" / "adapter_model.safetensors"):
            model.get_submodule(name.removeprefix("base_model.model.").partition(".lora_")[0])


@pytest.mark.skipif(transformers.__version__ < "5", reason="transformers 4 has no bidirectional Gemma 3")
def test_a_decoder_that_reads_ahead_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = Gemma3TextConfig(**sizes, vocab_size=8002, num_key_value_heads=2, head_dim=8, max_position_embeddings=128)
    base = find_base(str(save_model(Gemma3ForCausalLM(config), tmp_path / "causal")))
    load_model(base)
    config.use_bidirectional_attention = True
    base = find_base(str(save_model(Gemma3ForCausalLM(config), tmp_path / "both")))
    with pytest.raises(ModelError, match="reads a text in both directions"):
        load_model(base)


def test_long_texts_are_cut_at_their_end_whatever_the_tokenizer_says(llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(llama, tmp_path / "left")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"truncation_side": "left"}), "utf-8")
    one, other = (load_tokenizer(find_base(str(base))) for base in (llama, folder))
    text = "Un rând destul de lung despre orașe, râuri și munți."
    first, second = (tokenizer(text, truncation=True, max_length=6)["input_ids"] for tokenizer in (one, other))
    assert first == second
    assert second[:5] == one(text)["input_ids"][:5]


def test_texts_of_decoders_may_be_longer_than_those_of_encoders(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "ron_Latn.devtest").write_text("Un rând destul de lung despre orașe și munți. " * 90 + "\n", "utf-8")
    folder = shutil.copytree(llama, tmp_path / "long")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}), "utf-8")
    flags = {"lang": "ro", "base": str(folder), "data": str(tmp_path), "out": tmp_path / "ws"}
    (score,) = score_text.score_text(load_eval_config(None, flags), QUIET)
    manifest = json.loads(next((tmp_path / "ws").rglob("manifest.json")).read_text("utf-8"))
    assert manifest["text"]["cut"] == 0
    assert manifest["settings"]["max_length"] == 4096
    assert score.sentences == 1


def test_a_model_whose_generation_settings_contradict_each_other_is_saved(
    llama: Path, text: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(llama, tmp_path / "vicuna")
    is_strict = transformers.__version__ < "5"  # only transformers 4 needs sampling to be enabled
    for settings in ('{"temperature": 0.9, "top_p": 0.6}', *([] if is_strict else ['{"pad_token_id": -1}'])):
        (base / "generation_config.json").write_text(settings)
        fitted = fit(fit_config(base, text, tmp_path / "ws", overwrite=True), QUIET)
        assert bool(GenerationConfig.from_pretrained(fitted.path).do_sample) == is_strict


def test_an_invertible_adapter_for_gemma_2_is_estimated(text: Path, tmp_path: Path) -> None:
    base = save_model(model_of("gemma2", vocab_size=8002), tmp_path / "gemma")
    costs = estimate(fit_config(base, text, tmp_path / "ws", method="seq_bn_inv"), QUIET)
    assert costs["trainable_parameters"] > 0


def test_capped_logits_are_computed_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, token_counts = model_of("gemma2", vocab_size=300).eval(), list[int]()
    model.register_forward_pre_hook(
        lambda _, __, inputs: token_counts.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    ids = [np.arange(5, 5 + length) for length in (9, 20, 12, 7)]
    copies = [Copies(sentence, np.arange(1, len(sentence)), np.arange(1, len(sentence))) for sentence in ids]
    whole = sums(model, copies, "clm", mask=None, pad=0)
    assert max(token_counts) == 4 * 20
    monkeypatch.setattr(pseudo_perplexity, "LOGIT_BYTES", 8 * 300 * 40)
    token_counts.clear()
    parts = sums(model, copies, "clm", mask=None, pad=0)
    assert max(token_counts) <= 40
    torch.testing.assert_close(torch.tensor(parts), torch.tensor(whole), atol=1e-4, rtol=1e-5)


def out_of_memory(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_running_out_of_memory_outside_training_is_reported(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ron_Latn.devtest").write_text("Un rând.\nAlt rând.\n")
    flags = {"lang": "ro", "base": str(llama), "data": str(tmp_path), "out": tmp_path / "ws"}
    monkeypatch.setattr(score_text, "likelihoods", out_of_memory)
    with pytest.raises(ModelError, match=r"ran out of memory for this model and batch\. Lower --batch-tokens"):
        score_text.score_text(load_eval_config(None, flags), QUIET)
    config = load_prompt_config(None, {"lang": "ro", "model": str(llama), "task": "topic", "data": str(tmp_path)})
    local = open_local(config, find_local(config)[0], QUIET)
    monkeypatch.setattr("lrltrain.prompting.local.score", out_of_memory)
    monkeypatch.setattr("lrltrain.prompting.local.ask", lambda *_: (SimpleNamespace(prompt=[1]), False))
    with pytest.raises(ModelError, match="ran out of memory for this model and batch"):
        local.classify("x", SimpleNamespace(template=SimpleNamespace(words={})), ["a"], QUIET)  # type: ignore[arg-type]


def test_a_copy_with_unused_weight_files_is_the_same_model(llama: Path, text: Path, tmp_path: Path) -> None:
    other = shutil.copytree(llama, tmp_path / "b" / "small")
    torch.save(load_file(llama / "model.safetensors"), other / "pytorch_model.bin")
    (other / "training_args.bin").write_bytes(b"x")
    lean, full = find_base(str(llama)), find_base(str(other))
    assert lean.weights == full.weights
    assert (lean.content == lean.weights, full.content == full.weights) == (True, False)
    adapter = fit(fit_config(llama, text, tmp_path / "ws", method="lora"), QUIET)
    check_base(adapter.path, adapter.manifest, full)
    assert fit(fit_config(other, text, tmp_path / "ws", method="lora"), QUIET).status == "unchanged"
    older = {key: value for key, value in adapter.manifest.items() if key != "weights"}
    check_base(adapter.path, {**older, "base": adapter.manifest["base"] | {"content": full.content}}, full)
    with pytest.raises(ModelError, match="was trained on small"):
        check_base(adapter.path, older, full)
    (other / "model.safetensors").unlink()
    with pytest.raises(StorageError, match="a base model that is also called small"):
        fit(fit_config(other, text, tmp_path / "ws", method="seq_bn"), QUIET)


def test_sharded_weights_are_identified_by_the_files_in_the_index(llama: Path, tmp_path: Path) -> None:
    model = load_model(find_base(str(llama)))
    folder = save_model(model, tmp_path / "whole")
    model.save_pretrained(tmp_path / "parts", max_shard_size="300KB")
    parts = shutil.copytree(tmp_path / "parts", tmp_path / "more")
    load_tokenizer(find_base("lrl-mini")).save_pretrained(parts)
    before = find_base(str(parts))
    assert before.content == before.weights
    assert len(list(parts.glob("*.safetensors"))) > 1
    shutil.copy(folder / "model.safetensors", parts / "consolidated.safetensors")  # as Mistral publishes them
    after = find_base(str(parts))
    assert (after.weights, after.content == after.weights) == (before.weights, False)


def test_a_model_that_the_hub_refuses_is_reported_as_gated(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        response = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co"))
        try:
            response.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise OSError("You are trying to access a gated repo.\nMake sure to have access to it") from error

    monkeypatch.setattr("lrltrain.models.check_files", refuse)
    with pytest.raises(
        ModelError, match=r"gated or private, or does not exist\. Accept its terms at .*x/y, and log in"
    ):
        find_base("x/y")


@pytest.mark.parametrize("named", [True, False])
def test_a_prompt_that_contains_the_date_is_the_same_every_day(*, named: bool) -> None:
    tokenizer = load_tokenizer(find_base("lrl-mini"))
    template = "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    template += "{{ date_string }} {{ strftime_now(format='%d %B %Y') }} {{ strftime_now('%m')|int }}: "
    template += "{{ messages[0]['content'] }}"
    tokenizer.chat_template = {"default": template, "tool_use": "x"} if named else template
    (ids, _) = encode_chat(tokenizer, [{"role": "user", "content": "salut"}], ["a"])
    assert tokenizer.decode(ids).startswith("26 Jul 2024 26 July 2024 7: salut")


@pytest.mark.parametrize("kind", ["xglm", "gpt_neo", "opt"])
def test_decoders_with_other_names_for_their_sizes_are_estimated(kind: str, text: Path, tmp_path: Path) -> None:
    common = {"num_layers": 2, "hidden_size": 32}
    sizes: dict[str, Any] = {
        "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 48},
        "gpt_neo": common | {"num_heads": 4, "attention_types": [[["global", "local"], 1]]},
        "opt": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 48},
    }[kind]
    sizes |= {"word_embed_proj_dim": 32} if kind == "opt" else {}
    config = AutoConfig.for_model(kind, vocab_size=8002, max_position_embeddings=128, **sizes)
    base = save_model(AutoModelForCausalLM.from_config(config), tmp_path / kind)
    assert estimate(fit_config(base, text, tmp_path / "ws"), QUIET)["memory_bytes"] > 0


def test_a_newer_revision_of_a_model_on_the_hub_accepts_further_adapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Base("org/enc", "org/enc", "b" * 40, "mlm", "bert")
    earlier_manifest = {"base": {"id": "org/enc", "revision": "a" * 40}}
    (tmp_path / "text-lora").mkdir()
    monkeypatch.setattr(runs, "_adapter_in", lambda _: earlier_manifest)
    runs.refuse_other_base(tmp_path / "text-seq_bn", base, overwrite=False)
    assert not base.may_be_of(earlier_manifest), "the earlier adapter is not loaded into the new revision"
