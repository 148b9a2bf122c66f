"""Packing, tokenizing and masking."""

import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import model_of
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from lrldata.errors import InputError
from lrldata.language import find
from lrltrain.config import FitConfig
from lrltrain.models import find_base, load_model, load_tokenizer, word_starts
from lrltrain.text import open_text
from lrltrain.training import batches
from lrltrain.training.batches import Block, Blocks, Layout, Masking, Vocabulary, even_rows, order
from lrltrain.training.corpus import Corpus, pack, tokenize
from lrltrain.training.loss import IGNORED, LabelledHead
from lrltrain.training.packing import probe_packing

BASE = find_base("lrl-mini")
TOKENIZER = load_tokenizer(BASE)
VOCABULARY = Vocabulary.of(TOKENIZER, word_starts(TOKENIZER))


def corpus_of(lines: list[str], folder: Path, batching: str = "packed", length: int = 64) -> Corpus:
    file = folder / "text.txt"
    file.write_text("\n".join(lines), "utf-8")
    text = open_text(FitConfig(lang="ro", text=[file]), find("ro"))
    return tokenize(text, "train", TOKENIZER, batching=batching, max_length=length, cache=folder / "cache")


def sentences(count: int) -> list[str]:
    rng = np.random.default_rng(5)
    words = "casa mare merge repede apa este bună pădurea veche cântă încet".split()
    return [" ".join(rng.choice(words, rng.integers(1, 14))) for _ in range(count)]


@given(st.lists(st.integers(1, 50), max_size=300), st.integers(50, 90))
def test_packing_loses_nothing_and_respects_the_capacity(lengths: list[int], capacity: int) -> None:
    blocks = pack(lengths, capacity)
    assert sorted(piece for block in blocks for piece in block) == list(range(len(lengths)))
    assert all(sum(lengths[piece] for piece in block) <= capacity for block in blocks)
    half_empty = [block for block in blocks if 2 * sum(lengths[piece] for piece in block) <= capacity]
    assert len(half_empty) <= 1  # two such blocks would fit into one


def test_blocks_contain_every_training_line_and_little_padding(tmp_path: Path) -> None:
    lines = sentences(2_000)
    corpus = corpus_of(lines, tmp_path)
    seen = Counter(tuple(piece.tolist()) for index in range(len(corpus)) for piece in corpus.block(index))
    in_blocks = [line for line in lines if tuple(TOKENIZER(line)["input_ids"]) in seen]
    assert 0.9 < len(in_blocks) / len(lines) < 1  # the rest is for validation
    assert sum(seen.values()) == corpus.counts.lines == len(in_blocks)
    assert corpus.counts.padding(64) < 0.05


def test_long_lines_are_split_and_only_line_batching_drops_their_ends(tmp_path: Path) -> None:
    line = " ".join(["pădurea"] * 500)
    lines = [line, *sentences(40)]
    whole = len(TOKENIZER(line, add_special_tokens=False)["input_ids"])
    for batching in ("packed", "line"):
        corpus = corpus_of(lines, tmp_path, batching)
        assert corpus.counts.cut == 1
        pieces = [piece for index in range(len(corpus)) for piece in corpus.block(index)]
        assert max(map(len, pieces)) == 64
        long = sum(len(piece) - 2 for piece in pieces if len(piece) == 64)
        assert (long >= whole // 62 * 62) == (batching == "packed")


def test_special_tokens_around_a_line_are_not_counted_as_unknown(tmp_path: Path) -> None:
    word_level = Tokenizer(WordLevel({"</s>": 0, "a": 1, "b": 2}, unk_token="</s>"))  # noqa: S106 -- a token of text
    word_level.pre_tokenizer = WhitespaceSplit()
    word_level.post_processor = TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 0)])
    roles = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), "</s>")  # as in OPT
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=word_level, **roles)
    (tmp_path / "t.txt").write_text("a b\nb c\n" * 100, "utf-8")
    config = FitConfig(lang="ro", text=[tmp_path / "t.txt"], cache=tmp_path)
    counts = tokenize(
        open_text(config, find("ro")), "train", tokenizer, batching="packed", max_length=64, cache=tmp_path
    ).counts
    assert counts.tokens == 3 * counts.lines
    assert counts.unknown == pytest.approx(counts.lines / 2, abs=10), "only c is unknown, not the </s> before a line"


def test_text_is_tokenized_once_and_again_after_an_interruption(tmp_path: Path) -> None:
    lines = sentences(200)
    first = corpus_of(lines, tmp_path)
    (folder,) = (tmp_path / "cache" / "tokens").glob("[!.]*")
    (folder / "counts.json").unlink()
    assert np.array_equal(corpus_of(lines, tmp_path).tokens, first.tokens)
    with pytest.raises(InputError, match="no line of text for train"):
        corpus_of(["", ""], tmp_path)


@pytest.mark.parametrize("whole_word", [False, True])
def test_masking_is_seeded_by_epoch_and_block(tmp_path: Path, whole_word: bool) -> None:
    corpus = corpus_of(sentences(600), tmp_path)
    blocks = Blocks(corpus, VOCABULARY, Masking("mlm", 0.15, whole_word), seed=3)
    again = Blocks(corpus, VOCABULARY, Masking("mlm", 0.15, whole_word), seed=3)
    rates, changed = [], 0
    for index in range(len(corpus)):
        one, other, next_epoch = blocks[index], again[index], blocks[index + len(corpus)]
        assert np.array_equal(one.input_ids, other.input_ids)
        changed += not np.array_equal(one.labels, next_epoch.labels)
        original = np.concatenate(corpus.block(index))
        chosen = one.labels != IGNORED
        assert np.array_equal(one.labels[chosen], original[chosen])
        assert np.array_equal(one.input_ids[~chosen], original[~chosen])
        assert not VOCABULARY.special[original[chosen]].any()
        if whole_word:
            boundary = VOCABULARY.starts[original] | VOCABULARY.special[original]
            assert np.array_equal(chosen[1:][~boundary[1:]], chosen[:-1][~boundary[1:]])
        rates.append(chosen[~VOCABULARY.special[original]])
    assert changed > len(corpus) * 0.9
    assert 0.12 < np.concatenate(rates).mean() < 0.19


def test_a_large_validation_set_is_sampled_evenly(tmp_path: Path) -> None:
    corpus = corpus_of(sentences(600), tmp_path)
    whole = Blocks(corpus, VOCABULARY, Masking("mlm"), 3)
    limited, unlimited = (Blocks(corpus, VOCABULARY, Masking("mlm"), 3, limit) for limit in (5, 10_000))
    assert len(limited) == 5 < len(whole) == len(unlimited)
    numbers = [limited[index].number for index in range(5)]
    assert numbers == [index * len(whole) // 5 for index in range(5)]
    for index, number in enumerate(numbers):
        assert np.array_equal(limited[index].labels, whole[number].labels)
    defaults = FitConfig(lang="ro")
    assert defaults.eval_blocks == 1_000
    assert "eval_blocks" not in defaults.shaping(), "recipes of earlier adapters stay the same"
    assert FitConfig(lang="ro", eval_blocks=5).shaping()["eval_blocks"] == 5


def test_every_epoch_visits_each_block_once_in_a_new_order() -> None:
    indices = list(islice(order(10_000, seed=1), 20_000))
    first, second = indices[:10_000], indices[10_000:]
    assert sorted(first) == list(range(10_000))
    assert sorted(second) == list(range(10_000, 20_000))
    assert [index % 10_000 for index in second] != first


@given(st.integers(0, 30_000))
def test_a_resumed_run_continues_with_the_next_blocks(start: int) -> None:
    assert list(islice(order(9_001, 1, start), 50)) == list(islice(order(9_001, 1), start, start + 50))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1_000))
def test_packed_lines_have_the_same_loss_as_separate_lines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pieces = [np.asarray(TOKENIZER(line)["input_ids"]) for line in sentences(40)[:6]]
    masked = [Masking("mlm").apply(piece, VOCABULARY, rng) for piece in pieces]
    parts = [Block(ids, labels, [len(ids)], 0) for ids, labels in masked]
    whole = [np.concatenate(arrays) for arrays in zip(*masked, strict=True)]
    together = Block(whole[0], whole[1], [len(ids) for ids, _ in masked], 0)
    model = load_model(BASE).eval()
    attention = probe_packing(model, "mlm", len(TOKENIZER))
    assert attention.first_position == 2
    head = LabelledHead(model)
    sums, rows = [], []
    layouts = [([parts], "packed", False), ([[together]], "packed", False), ([parts], "line", False)]
    for groups, batching, static in [*layouts, ([parts], "line", True), ([parts[:1], parts], "line", True)]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches, "ATTENDED", 100)  # low enough to give several rows
            batch = Layout(VOCABULARY, batching, True, 128, static)(groups)
        with torch.no_grad(), head.at(batch.tensors["label_indices"]):
            hidden = model(**attention.inputs(batch.tensors)).logits[0]
        losses = head.losses(hidden, batch.tensors["labels"]).view(len(groups), -1)
        sums.append(losses[-1].sum())
        rows.append(len(batch.tensors["input_ids"]) // len(groups))
    assert rows[0] == 6 > rows[3] > rows[1] == 1
    for total in sums[1:]:
        torch.testing.assert_close(total, sums[0], rtol=1e-4, atol=1e-4)


@given(st.lists(st.lists(st.integers(2, 256), min_size=1, max_size=20), min_size=1, max_size=4))
def test_each_line_is_assigned_to_exactly_one_row(groups: list[list[int]]) -> None:
    rows_of_groups = even_rows(groups, 64)
    for lengths, rows in zip(groups, rows_of_groups, strict=True):
        assert sorted(line for row in rows for line in row) == list(range(len(lengths)))
    longest = max(
        sum(lengths[line] for line in row) for lengths, rows in zip(groups, rows_of_groups, strict=True) for row in rows
    )
    assert cost(max(map(len, rows_of_groups)), longest) <= cost(1, max(map(sum, groups)))


def cost(rows: int, longest: int) -> float:
    """Return the work of a GPU: the tokens of rows padded to a multiple of 64, which cost more in longer rows."""
    length = -(-longest // 64) * 64
    return rows * length * (1 + length / 4_000)


def test_rows_are_as_even_as_possible() -> None:
    assert [[len(row) for row in rows] for rows in even_rows([[48] * 16] * 2, 64)] == [[4, 4, 4, 4]] * 2
    uneven_groups = even_rows([[60] * 16, [70] * 16], 64)  # 1,024 tokens would be enough for the first group only
    assert [[len(row) for row in rows] for rows in uneven_groups] == [[8, 8], [8, 8]]
    assert even_rows([[30, 20], []]) == [[[0, 1]], []]


PEAK = """
import resource, sys
from pathlib import Path
from lrldata.language import find
from lrltrain.config import FitConfig
from lrltrain.training.corpus import tokenize
from lrltrain.models import find_base, load_tokenizer
from lrltrain.text import open_text
tokenizer = load_tokenizer(find_base("lrl-mini"))
tokenizer(["warm up"])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
file = Path(sys.argv[1])
text = open_text(FitConfig(lang="ro", text=[file]), find("ro"))
corpus = tokenize(text, "train", tokenizer, batching="packed", max_length=128, cache=file.parent / "cache")
megabyte = 1024**2 if sys.platform == "darwin" else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // megabyte, corpus.counts.lines)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    lines = "\n".join(sentences(10_000))
    peaks = []
    for copies in (1, 6):
        file = tmp_path / f"{copies}" / "text.txt"
        file.parent.mkdir()
        file.write_text("\n".join([lines] * copies), "utf-8")
        result = subprocess.run([sys.executable, "-c", PEAK, str(file)], capture_output=True, text=True, check=True)
        megabytes, count = map(int, result.stdout.split())
        assert count > 9_000 * copies
        peaks.append(megabytes)
    assert peaks[1] < peaks[0] + 15, f"{peaks} MB"


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "electra"])
def test_a_row_of_lines_may_be_longer_than_the_model_reads(kind: str) -> None:
    model = model_of(kind, max_position_embeddings=34, pad_token_id=1)
    attention = probe_packing(model, "mlm", 64)
    lines = [torch.randint(5, 64, (size,)) for size in (30, 29, 20)]
    batch = {
        "input_ids": torch.cat(lines)[None],
        "segments": torch.cat([torch.full((len(line),), number) for number, line in enumerate(lines, 1)])[None],
        "position_ids": torch.cat([torch.arange(len(line)) for line in lines])[None],
    }
    with torch.no_grad():
        together = model(**attention.inputs(batch)).logits[0]
        alone = torch.cat([model(input_ids=line[None]).logits[0] for line in lines])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("whole_word", [False, True])
def test_short_lines_are_masked_as_often_as_long_ones(tmp_path: Path, whole_word: bool) -> None:
    corpus = corpus_of([f"{line} {number}" for number in range(400) for line in ("mere", "apa rece")], tmp_path, "line")
    blocks = Blocks(corpus, VOCABULARY, Masking("mlm", whole_word=whole_word), seed=1)
    labels = np.concatenate([blocks[number].labels for number in range(len(blocks))])
    ids = np.concatenate([corpus.block(number)[0] for number in range(len(blocks))])
    share = (labels != IGNORED).sum() / (~VOCABULARY.special[ids]).sum()
    assert share == pytest.approx(0.15, abs=0.02)
