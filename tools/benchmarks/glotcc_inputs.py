"""Documents for bench_glotcc.py: real pages in shards, noise and near-duplicates put into them, and pages mixed again.

All that is drawn is drawn with a seed.
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
SWAPPED = 0.4  # share of the words of a mixed line that are others, so that few lines are the same
SHARD = 50_000_000  # bytes of text in a shard of mixed pages
SITES = 997
ODD = ["a\u00adb\u200bc d\u00a0\u00a0e", "caf\u0065\u0301 \ufb01n", "AT&amp;T &quot;x&quot; &#8211; y",
       "1 2 3 4 5 6 7 8 9", "...", "\u200fabc\u202edef", "\ufeef\ufe8d\ufee3 \ufb8a",
       "x\x00y\x7fz", "a\u2028b"]  # fmt: skip


def has_pages(data: Path, language: Language) -> bool:
    """Return whether there are real pages of a language."""
    return _file(data, language).is_file()


def pages(data: Path, language: Language, most: float = float("inf")) -> list[dict[str, str]]:
    """Return real pages (id, url, title, text) of a language, the first ones up to `most` bytes of text."""
    found = []
    with _file(data, language).open("rb") as lines:
        for line in lines:
            page = json.loads(line)
            found.append(page)
            most -= len(page["text"].encode())
            if most <= 0:
                break
    return found


def size_of(documents: Sequence[dict[str, str]]) -> int:
    """Return the bytes of text of documents."""
    return sum(len(document["text"].encode()) for document in documents)


def write_shards(documents: Sequence[dict[str, str]], folder: Path, shards: int = 4) -> Path:
    """Write documents as JSONL, in turn to each shard; return the folder."""
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
    """Return the texts of documents with lines of noise put in, and some lines spoiled. `foreign` are other lines."""
    draw = random.Random(seed)
    noise = [*BOILERPLATE, *MENUS, *CODE, *ADDRESSES, *ODD]
    texts = []
    for document in documents:
        lines = []
        for line in document["text"].split("\n"):
            if draw.random() < 0.15:
                lines.append(draw.choice([draw.choice(noise), draw.choice(foreign), _mixed(line, foreign, draw)]))
            lines.append(_spoiled(line, draw) if draw.random() < 0.1 else line)
        texts.append("\n".join(lines))
    return texts


def _mixed(line: str, foreign: Sequence[str], draw: random.Random) -> str:
    """Return a part of a line with a part of another, so that rules by shares have to decide."""
    other = draw.choice(foreign)
    return f"{line[: draw.randrange(80)]} {other[: draw.randrange(80)]} {draw.choice(['', '12345', '|', ';'])}"


def _spoiled(line: str, draw: random.Random) -> str:
    match draw.randrange(6):
        case 0:
            return line.encode().decode("latin-1")
        case 1:
            return f"{line} {draw.choice(PERSONAL)}."
        case 2:
            return line.replace(" ", draw.choice(["\u00a0", "\u200b ", "\t", "  "]))
        case 3:
            return f"{line[:40]} {draw.choice(ADDRESSES)}"
        case 4:
            return line.replace(" ", draw.choice([" | ", " \u2022 ", " = ", "; "]), 6)
        case _:
            return line.upper() + draw.choice(["\r", "\x0b", "\u200e", "\u00ad"])


# --- near-duplicates -----------------------------------------------------------------------------------------


def with_near_duplicates(
    documents: Sequence[dict[str, str]], each: int, seed: int
) -> tuple[list[str], dict[tuple[int, int], float]]:
    """Return texts, some of them there again with words changed; and of these pairs of numbers the wanted similarity.

    A word that is changed takes five shingles of n with it: (n - 5 m) / (n + 5 m) is what m of them leave.
    """
    draw = random.Random(seed)
    texts = [document["text"] for document in documents]
    words = [text.split(" ") for text in texts]
    long = [number for number, found in enumerate(words) if 60 <= len(found) <= 3000]
    draw.shuffle(long)
    long = long[: each * len(SIMILARITIES)]
    wanted = {}
    for place, number in enumerate(long):
        similarity = SIMILARITIES[place % len(SIMILARITIES)]
        count = len(words[number]) - 4
        spots = range(2, len(words[number]) - 2, 5)
        changed = min(int(count * (1 - similarity) / (1 + similarity) / 5), len(spots))
        copy = list(words[number])
        for spot in draw.sample(spots, changed):
            copy[spot] = draw.choice(draw.choice(words))
        wanted[number, len(texts)] = similarity
        texts.append(" ".join(copy))
    order = list(range(len(texts)))
    draw.shuffle(order)
    moved = {old: new for new, old in enumerate(order)}
    pairs = {(min(moved[one], moved[two]), max(moved[one], moved[two])): value for (one, two), value in wanted.items()}
    return [texts[old] for old in order], pairs


# --- mixed pages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixer:
    """Real pages taken apart: words (each twice, with a space and with a line's end behind it), lines, pages.

    `tokens` are numbers of words in the order of the pages; those at the end of a line are odd.
    """

    words: npt.NDArray[np.object_]
    tokens: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    lines_of_pages: npt.NDArray[np.int64]
    bytes_a_line: float

    @classmethod
    def of(cls, documents: Sequence[dict[str, str]]) -> "Mixer":
        """Take pages apart."""
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
        bytes_a_line = size_of(documents) / len(lengths)
        return cls(forms, np.array(tokens), starts, lengths, np.array(lines_of_pages), bytes_a_line)

    def texts(self, size: int, draw: np.random.Generator) -> list[str]:
        """Return new pages of about `size` bytes: lines of all pages shuffled, and words in them swapped."""
        chosen = draw.permutation(np.resize(np.arange(len(self.lengths)), int(size / self.bytes_a_line) + 1))
        lengths = self.lengths[chosen]
        ends = np.cumsum(lengths)
        tokens = self.tokens[np.repeat(self.starts[chosen] - ends + lengths, lengths) + np.arange(ends[-1])]
        swapped = draw.random(len(tokens)) < SWAPPED
        others = self.tokens[draw.integers(len(self.tokens), size=int(swapped.sum()))]
        tokens[swapped] = others // 2 * 2 + tokens[swapped] % 2
        lines = np.cumsum(draw.choice(self.lines_of_pages[self.lines_of_pages > 0], size=len(chosen)))
        borders = [0, *ends[lines[lines < len(chosen)] - 1].tolist(), len(tokens)]
        forms = self.words[tokens].tolist()
        return ["".join(forms[begin:end])[:-1] for begin, end in itertools.pairwise(borders) if end > begin]


def write_mixed(documents: Sequence[dict[str, str]], folder: Path, size: int, seed: int, shard: int = SHARD) -> int:
    """Write mixed pages as GlotCC-V1 has its own, in Parquet shards; return how many bytes of text they hold."""
    folder.mkdir(parents=True)
    mixer, draw = Mixer.of(documents), np.random.default_rng(seed)
    written = 0
    for number, part in enumerate(_parts(size, shard)):
        texts = pl.Series("content", mixer.texts(part, draw), dtype=pl.String)
        place = pl.int_range(pl.len())
        frame = pl.DataFrame([texts]).with_columns(
            (pl.format("https://site{}.example.org/{}-{}", place % SITES, pl.lit(number), place)).alias(
                "warc-target-uri"
            ),
            pl.format("<urn:uuid:00000000-0000-0000-{}-{}>", pl.lit(f"{number:04d}"), place).alias("warc-record-id"),
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
    for done in range(0, size, shard):
        yield min(shard, size - done)
