"""Pseudo-perplexity compared with plain loops, its confidence intervals, and `lrltrain eval`."""

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from lrldata.manifest import MANIFEST
from lrltrain.evaluation.bootstrap import interval, ratio
from lrltrain.evaluation.likelihoods import Likelihoods, mean_of_sentences, per_corpus
from lrltrain.evaluation.pseudo_perplexity import likelihoods
from lrltrain.models import find_base, load_model, load_tokenizer

BASE = find_base("lrl-mini")
TOKENIZER = load_tokenizer(BASE)
SENTENCES = [
    "Pisica doarme pe canapeaua din bucătărie.",
    "Da.",
    "Într-o zi de vară, copiii au plecat la munte cu bunicul lor, care cunoștea toate potecile.",
    "Ġurnata sabiħa ħafna!",
]


def plain_loop(model: Any, sentence: str, formula: str) -> tuple[float, int]:
    """Mask one position after another, one copy at a time, and compute all logits."""
    ids = TOKENIZER(sentence, return_tensors="pt")["input_ids"]
    tokens = TOKENIZER.convert_ids_to_tokens(ids[0])
    total, count = 0.0, 0
    for position, token in enumerate(tokens):
        special = token in TOKENIZER.all_special_tokens
        if special and formula != "paper":
            continue
        copy = ids.clone()
        copy[0, position] = TOKENIZER.mask_token_id
        following = position + 1
        while formula == "within_word_l2r" and tokens[following][0] != "▁" and tokens[following] != "</s>":
            copy[0, following] = TOKENIZER.mask_token_id
            following += 1
        with torch.no_grad():
            logits = model(input_ids=copy).logits[0, position]
        total += torch.log_softmax(logits, -1)[ids[0, position]].item()
        count += 1
    return total, count


@pytest.mark.parametrize("formula", ["corrected", "paper", "within_word_l2r"])
@pytest.mark.parametrize("batch_tokens", [60, 100_000])
def test_values_equal_those_of_the_plain_loop(formula: Any, batch_tokens: int) -> None:
    model = load_model(BASE).eval()
    measured = likelihoods(
        model, TOKENIZER, SENTENCES, "mlm", formula=formula, batch_tokens=batch_tokens, max_length=256
    )
    for row, sentence in enumerate(SENTENCES):
        total, count = plain_loop(model, sentence, formula)
        assert measured.tokens[row] == count
        assert measured.log_likelihood[row] == pytest.approx(total, abs=1e-4 * count)


def test_decoder_perplexity_equals_that_of_transformers() -> None:
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    model = LlamaForCausalLM(config).eval()
    caches = []
    handle = model.register_forward_hook(lambda _model, _inputs, output: caches.append(output.past_key_values))
    measured = likelihoods(model, TOKENIZER, SENTENCES, "clm", max_length=256, batch_tokens=50)
    handle.remove()
    assert set(caches) == {None}, "no keys and values are kept, as no tokens follow"
    for row, sentence in enumerate(SENTENCES):
        ids = TOKENIZER(sentence, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            loss = model(input_ids=ids, labels=ids).loss.item()
        assert measured.tokens[row] == ids.shape[1] - 1
        assert -measured.log_likelihood[row] / measured.tokens[row] == pytest.approx(loss, abs=1e-5)


def test_intervals_come_from_a_paired_bootstrap() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(5, 40, 400)
    before = Likelihoods(-tokens * generator.normal(3.0, 0.3, 400), tokens, 4 * tokens)
    after = Likelihoods(before.log_likelihood * 0.9, tokens, 4 * tokens)
    subset = Likelihoods(before.log_likelihood[:50], tokens[:50], 4 * tokens[:50])
    wide = interval(subset, per_corpus, 500, 1)
    narrow = interval(before, per_corpus, 500, 1)
    assert narrow.value == pytest.approx(math.exp(-before.log_likelihood.sum() / tokens.sum()))
    assert narrow.low < narrow.value < narrow.high
    assert narrow.high - narrow.low < wide.high - wide.low
    paired = ratio(after, before, per_corpus, 500, 1)
    assert paired.value == pytest.approx(interval(after, per_corpus, 500, 1).value / narrow.value)
    assert paired.high - paired.low < 0.5 * (narrow.high - narrow.low) / narrow.value, "sentences are paired"
    perplexities = np.exp(-before.log_likelihood / before.tokens)
    assert interval(before, mean_of_sentences, 100, 1).value == pytest.approx(perplexities.mean())


def test_eval_writes_scores_and_replaces_a_damaged_file(
    fit: Any, lrltrain: Callable[..., subprocess.CompletedProcess[str]], workspace: Path, tmp_path: Path
) -> None:
    folder = fit(steps=60)
    command = ["eval", "--adapter", folder, "--data", workspace / "datasets" / "ro" / "conceptnet", "--out", tmp_path]
    result = lrltrain(*command, "--json")
    assert result.returncode == 0, result.stderr
    (score,) = json.loads(result.stdout)["scores"]
    assert score["after"]["high"] < score["before"]["low"], "the adapter wins clearly"
    scores = json.loads((tmp_path / score["path"] / "scores.json").read_text())
    assert scores["ratio"] == score["ratio"]
    manifest = json.loads((tmp_path / score["path"] / MANIFEST).read_text())
    assert manifest["adapter"]["name"] == "ro_conceptnet_seq_bn_inv"
    assert manifest["data"]["sentences"] == score["sentences"] == 35
    (tmp_path / score["path"] / "scores.json").write_bytes(b"\xff")
    table = lrltrain(*command)
    assert table.returncode == 0, table.stderr
    assert "ro: with seq_bn_inv" in table.stdout
    assert json.loads((tmp_path / score["path"] / "scores.json").read_text()) == scores
    times_before = [file.stat().st_mtime_ns for file in sorted((tmp_path / score["path"]).iterdir())]
    assert lrltrain(*command).returncode == 0
    times_after = [file.stat().st_mtime_ns for file in sorted((tmp_path / score["path"]).iterdir())]
    assert times_after == times_before, "it is neither measured nor written twice"


def test_tokens_that_the_model_does_not_know_are_reported(
    tmp_path: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "t.txt").write_text("漢字龘龘\n龘龘\n", "utf-8")
    options = ("--lang", "ro", "--data", tmp_path / "t.txt", "--out", tmp_path)
    result = lrltrain("eval", "--base", "lrl-mini", *options, "--json")
    assert result.returncode == 0, result.stderr
    assert "of the tokens of t are unknown to lrl-mini" in result.stderr
    assert "RuntimeWarning" not in result.stderr
    (score,) = json.loads(result.stdout)["scores"]
    assert score["bits_per_character"] is None
    manifest = json.loads((tmp_path / score["path"] / MANIFEST).read_text())
    assert manifest["text"]["unknown"] > 0.2


def test_a_decoder_is_trained_and_measured(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], workspace: Path, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    TOKENIZER.save_pretrained(tmp_path / "llama")
    dataset = workspace / "datasets" / "ro" / "conceptnet"
    result = lrltrain(
        *("fit", "--lang", "ro", "--dataset", dataset, "--base", tmp_path / "llama", "--base-id", "someone/llama"),
        *("--steps", 20, "--batch-size", 4, "--max-length", 64, "--learning-rate", 1e-2, "--reduction-factor", 4),
        *("--out", tmp_path, "--cache", workspace / "cache"),
    )
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "adapters" / "ro" / "llama" / "conceptnet-seq_bn_inv"
    assert json.loads((folder / "adapter_config.json").read_text())["model_name"] == "someone/llama"
    command = ["eval", "--adapter", folder, "--data", dataset, "--out", tmp_path, "--json"]
    refused = lrltrain(*command)
    assert refused.returncode == 1
    assert "--base FOLDER" in refused.stderr
    measured = lrltrain(*command, "--base", tmp_path / "llama")
    assert measured.returncode == 0, measured.stderr
    (score,) = json.loads(measured.stdout)["scores"]
    assert score["metric"] == "perplexity"
    assert score["after"]["high"] < score["before"]["low"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_half_precision_decoder_is_trained_with_a_single_precision_adapter(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], workspace: Path, tmp_path: Path, precision: str
) -> None:
    config = LlamaConfig(
        vocab_size=len(TOKENIZER), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    TOKENIZER.save_pretrained(tmp_path / "llama")
    dataset = workspace / "datasets" / "ro" / "conceptnet"
    result = lrltrain(
        *("fit", "--lang", "ro", "--dataset", dataset, "--base", tmp_path / "llama", "--precision", precision),
        *("--steps", 4, "--batch-size", 4, "--max-length", 64, "--out", tmp_path, "--cache", workspace / "cache"),
    )
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "adapters" / "ro" / "llama" / "conceptnet-seq_bn_inv"
    assert {value.dtype for value in load_file(folder / "adapter.safetensors").values()} == {torch.float32}
    dtype = json.loads((folder / "manifest.json").read_text("utf-8"))["trained"]["reference_dtype"]
    assert dtype == {"bf16": "bfloat16", "fp16": "float16"}[precision], "no second copy of a large model is loaded"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--adapter DIR"),
        (["--base", "lrl-mini"], 2, "--lang"),
        (["--base", "lrl-mini", "--lang", "ro", "--data", "nowhere"], 1, "no such file"),
        (["--adapter", "nowhere"], 1, "lrltrain fit"),
        (["--base", "lrl-mini", "--lang", "ro", "--formula", "salazar"], 2, "--formula"),
    ],
)
def test_invalid_eval_options_are_reported_without_a_traceback(
    lrltrain: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str], code: int, message: str
) -> None:
    result = lrltrain("eval", *arguments)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_training_on_text_lowers_perplexity_on_flores(
    shared: Path, lrltrain: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    result = lrltrain(
        *("fit", "--lang", "mt", "--base", "lrl-mini", "--text", shared / "text" / "mlt_Latn" / "ntrex.txt"),
        *("--method", "lora", "--lora-r", 16, "--lora-alpha", 32, "--learning-rate", 5e-3, "--steps", 25),
        *("--batch-size", 8, "--max-length", 128, "--eval-every", 25, "--eval-blocks", 8, "--out", tmp_path),
    )
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "adapters" / "mt" / "lrl-mini" / "text-lora"
    flores = shared / "flores200" / "devtest"
    options = ["--data", flores, "--formula", "paper", "--limit", 10, "--json"]
    measured = lrltrain("eval", "--adapter", folder, *options, "--out", tmp_path)
    assert measured.returncode == 0, measured.stderr
    (score,) = json.loads(measured.stdout)["scores"]
    assert score["data"] == "flores devtest"
    assert score["metric"] == "pseudo-perplexity (paper)"
    assert score["ratio"]["high"] < 1
    alone = lrltrain("eval", "--base", "lrl-mini", "--lang", "mt", *options, "--out", tmp_path / "base")
    (base,) = json.loads(alone.stdout)["scores"]
    assert base["after"] == score["before"]
