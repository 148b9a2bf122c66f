"""Inputs of bench_glotcc.py: real pages in shards, pages with noise and near-duplicates, and recombined pages.

All randomness is seeded.
"""

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from eval_cleaning import ADDRESSES, BOILERPLATE, CODE, MENUS, PERSONAL

from lrldata.language import Language

SIMILARITIES = (0.75, 0.8, 0.85, 0.9, 0.95)
REPLACED = 0.4  # share of the words of a recombined line that are replaced, so that few lines are identical
SHARD = 50_000_000  # bytes of text per shard of recombined pages
SITES = 997
ODD = ["a\u00adb\u200bc d\u00a0\u00a0e", "caf\u0065\u0301 \ufb01n", "AT&amp;T &quot;x&quot; &#8211; y",
       "1 2 3 4 5 6 7 8 9", "...", "\u200fabc\u202edef", "\ufeef\ufe8d\ufee3 \ufb8a",
       "x\x00y\x7fz", "a\u2028b"]  # fmt: skip


def has_pages(data: Path, language: Language) -> bool:
    """Return whether there are real pages in a language."""
    return _file(data, language).is_file()


def pages(data: Path, language: Language, most: float = float("inf")) -> list[dict[str, str]]:
    """Return the first real pages (id, url, title, text) in a language, up to about `most` bytes of text."""
    documents = []
    with _file(data, language).open("rb") as lines:
        for line in lines:
            page = json.loads(line)
            documents.append(page)
            most -= len(page["text"].encode())
            if most <= 0:
                break
    return documents


def size_of(documents: Sequence[dict[str, str]]) -> int:
    """Return the total size of the documents' texts in bytes."""
    return sum(len(document["text"].encode()) for document in documents)


def write_shards(documents: Sequence[dict[str, str]], folder: Path, shards: int = 4) -> Path:
    """Write documents as JSONL shards, distributed in turn, and return the folder."""
    folder.mkdir(parents=True)
    for number in range(shards):
        lines = [json.dumps(document, ensure_ascii=False) + "\n" for document in documents[number::shards]]
        if lines:
            (folder / f"{number:03d}.jsonl").write_text("".join(lines), "utf-8", newline="")
    return folder


def _file(data: Path, language: Language) -> Path:
    return data / "pages" / f"{language.flores}.wikipedia.jsonl"


# --- noise ---------------------------------------------------------------------------------------------------


def with_noise(documents: Sequence[dict[str, str]], foreign: Sequence[str], seed: int) -> list[str]:
    """Return the documents' texts with lines of noise or from `foreign` inserted, and with some damaged lines."""
    rng = random.Random(seed)
    noise = [*BOILERPLATE, *MENUS, *CODE, *ADDRESSES, *ODD]
    texts = []
    for document in documents:
        lines = []
        for line in document["text"].split("\n"):
            if rng.random() < 0.15:
                lines.append(rng.choice([rng.choice(noise), rng.choice(foreign), _mixed(line, foreign, rng)]))
            lines.append(_damaged(line, rng) if rng.random() < 0.1 else line)
        texts.append("\n".join(lines))
    return texts


def _mixed(line: str, foreign: Sequence[str], rng: random.Random) -> str:
    """Return a line with parts of two lines, so that rules based on shares are tested."""
    other = rng.choice(foreign)
    return f"{line[: rng.randrange(80)]} {other[: rng.randrange(80)]} {rng.choice(['', '12345', '|', ';'])}"


def _damaged(line: str, rng: random.Random) -> str:
    match rng.randrange(6):
        case 0:
            return line.encode().decode("latin-1")
        case 1:
            return f"{line} {rng.choice(PERSONAL)}."
        case 2:
            return line.replace(" ", rng.choice(["\u00a0", "\u200b ", "\t", "  "]))
        case 3:
            return f"{line[:40]} {rng.choice(ADDRESSES)}"
        case 4:
            return line.replace(" ", rng.choice([" | ", " \u2022 ", " = ", "; "]), 6)
        case _:
            return line.upper() + rng.choice(["\r", "\x0b", "\u200e", "\u00ad"])


# --- near-duplicates -----------------------------------------------------------------------------------------


def with_near_duplicates(
    documents: Sequence[dict[str, str]], each: int, seed: int
) -> tuple[list[str], dict[tuple[int, int], float]]:
    """Return texts with near-duplicates of some, and the target similarities of these pairs of text numbers.

    `each` near-duplicates are made for each of SIMILARITIES. A changed word changes five of the n shingles, so m
    changed words leave a similarity of (n - 5 m) / (n + 5 m).
    """
    rng = random.Random(seed)
    texts = [document["text"] for document in documents]
    words = [text.split(" ") for text in texts]
    candidates = [number for number, text_words in enumerate(words) if 60 <= len(text_words) <= 3000]
    rng.shuffle(candidates)
    candidates = candidates[: each * len(SIMILARITIES)]
    targets = {}
    for index, number in enumerate(candidates):
        similarity = SIMILARITIES[index % len(SIMILARITIES)]
        count = len(words[number]) - 4
        positions = range(2, len(words[number]) - 2, 5)
        changed = min(int(count * (1 - similarity) / (1 + similarity) / 5), len(positions))
        copy = list(words[number])
        for position in rng.sample(positions, changed):
            copy[position] = rng.choice(rng.choice(words))
        targets[number, len(texts)] = similarity
        texts.append(" ".join(copy))
    order = list(range(len(texts)))
    rng.shuffle(order)
    new_number = {old: new for new, old in enumerate(order)}
    pairs = {
        (min(new_number[left], new_number[right]), max(new_number[left], new_number[right])): value
        for (left, right), value in targets.items()
    }
    return [texts[old] for old in order], pairs


# --- mixed pages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixer:
    """The parts of real pages: words (each followed by a space and by a line break), lines and pages.

    `tokens` are word numbers in page order; the numbers of words at the end of a line are odd.
    """

    words: npt.NDArray[np.object_]
    tokens: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    lines_of_pages: npt.NDArray[np.int64]
    bytes_per_line: float

    @classmethod
    def of(cls, documents: Sequence[dict[str, str]]) -> "Mixer":
        """Split pages into their parts."""
        numbers: dict[str, int] = {}
        tokens: list[int] = []
        sizes: list[int] = []
        lines_of_pages = []
        for document in documents:
            lines = [words for line in document["text"].split("\n") if (words := line.split())]
            for words in lines:
                tokens += [2 * numbers.setdefault(word, len(numbers)) for word in words]
                tokens[-1] += 1
                sizes.append(len(words))
            lines_of_pages.append(len(lines))
        forms = np.array([form for word in numbers for form in (f"{word} ", f"{word}\n")], dtype=object)
        lengths = np.array(sizes, dtype=np.int64)
        starts = np.cumsum(lengths) - lengths
        bytes_per_line = size_of(documents) / len(lengths)
        return cls(forms, np.array(tokens), starts, lengths, np.array(lines_of_pages), bytes_per_line)

    def texts(self, size: int, rng: np.random.Generator) -> list[str]:
        """Return new pages of about `size` bytes in total: shuffled lines of all pages with some words replaced."""
        order = rng.permutation(np.resize(np.arange(len(self.lengths)), int(size / self.bytes_per_line) + 1))
        lengths = self.lengths[order]
        ends = np.cumsum(lengths)
        tokens = self.tokens[np.repeat(self.starts[order] - ends + lengths, lengths) + np.arange(ends[-1])]
        replaced = rng.random(len(tokens)) < REPLACED
        others = self.tokens[rng.integers(len(self.tokens), size=int(replaced.sum()))]
        tokens[replaced] = others // 2 * 2 + tokens[replaced] % 2
        lines = np.cumsum(rng.choice(self.lines_of_pages[self.lines_of_pages > 0], size=len(order)))
        borders = [0, *ends[lines[lines < len(order)] - 1].tolist(), len(tokens)]
        forms = self.words[tokens].tolist()
        return ["".join(forms[start:end])[:-1] for start, end in itertools.pairwise(borders) if end > start]


def write_mixed(documents: Sequence[dict[str, str]], folder: Path, size: int, seed: int, shard: int = SHARD) -> int:
    """Write recombined pages as Parquet shards like those of GlotCC-V1, and return their bytes of text."""
    folder.mkdir(parents=True)
    mixer, rng = Mixer.of(documents), np.random.default_rng(seed)
    written = 0
    for number, part in enumerate(_parts(size, shard)):
        texts = pl.Series("content", mixer.texts(part, rng), dtype=pl.String)
        row = pl.int_range(pl.len())
        frame = pl.DataFrame([texts]).with_columns(
            (pl.format("https://site{}.example.org/{}-{}", row % SITES, pl.lit(number), row)).alias("warc-target-uri"),
            pl.format("<urn:uuid:00000000-0000-0000-{}-{}>", pl.lit(f"{number:04d}"), row).alias("warc-record-id"),
            pl.lit("2023-06-05T12:00:00Z").alias("warc-date"),
            pl.col("content").str.len_bytes().alias("content-length"),
            (pl.col("content").str.count_matches("\n", literal=True) + 1).alias("num-sents"),
            pl.lit([], pl.List(pl.String)).alias("quality-warnings"),
            pl.lit(0.99).alias("identification-prob"),
        )
        frame.write_parquet(folder / f"{number:05d}.parquet", compression="zstd")
        written += int(frame["content-length"].sum())
    return written


def _parts(size: int, shard: int) -> Iterator[int]:
    for start in range(0, size, shard):
        yield min(shard, size - start)
