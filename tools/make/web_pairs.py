"""Compute which letters follow which in each language: lrldata/web/pairs.npz.

    python tools/make/web_pairs.py DATA

DATA contains lid/sib200_train.txt.gz: about 650 sentences of FLORES-200 in each of 205 languages; held-out lines are
not used. The file stores the lower-case letters and marks of each language and the pointwise mutual information of each
pair, log(p(second | first) / p(second)). The first entry of the alphabet stands for a word boundary. SMOOTHED
additional pairs per first letter, distributed by chance, smooth the counts. Letters that occur only once are ignored.
Languages with more than MOST letters are omitted, because pairs of Han characters say little.

For the paper's languages, the tool also prints the 0.3 % quantile of the lines of each file of other text
(text/LANG_Script/*.txt). The limit in rules.toml must be below these.
"""

import argparse
import sys
import unicodedata
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from lid_data import TYPED, training_rows

import lrldata.web
from lrldata.language import languages
from lrldata.web.garbled import PAIRS, STEPS, information

MOST, LEAST, SMOOTHED = 600, 2, 20
SAMPLED, MOST_LINES, RARE, SHORTEST, LONGEST = 7, 1000, 0.003, 25, 100


def main(data: Path) -> int:
    """Write the file and print the quantiles."""
    pairs: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for label, line in training_rows(data):
        for text in {line, line.translate(str.maketrans(TYPED.get(label, {})))}:
            lower = unicodedata.normalize("NFC", text.lower())
            letters = "".join(letter if unicodedata.category(letter)[0] in "LM" else " " for letter in f" {lower} ")
            pairs[label].update(pair for pair in pairwise(letters) if pair != (" ", " "))
    arrays: dict[str, np.ndarray] = {}
    for row in languages():
        pair_counts = pairs.get(row.sib200 or "", Counter())
        letter_counts: Counter[str] = Counter()
        for (first, _), count in pair_counts.items():
            letter_counts[first] += count
        alphabet = [" ", *sorted(letter for letter, count in letter_counts.items() if count >= LEAST and letter != " ")]
        if 1 < len(alphabet) <= MOST:
            arrays[f"{row.code}.letters"] = np.array([ord(letter) for letter in alphabet[1:]], dtype=np.uint32)
            arrays[f"{row.code}.information"] = mutual_information(pair_counts, alphabet)
    np.savez_compressed(Path(lrldata.web.__file__).with_name(PAIRS), **arrays)
    for row in languages():
        if row.paper is not None:
            print(row.code, *(f"{name} {value:.2f}" for name, value in lowest(data, row.flores or "?", row.code)))
    return 0


def mutual_information(pairs: Counter[tuple[str, str]], alphabet: list[str]) -> np.ndarray:
    """Return the information of each pair in units of 1/STEPS nat, of shape (letters, letters)."""
    index = {letter: number for number, letter in enumerate(alphabet)}
    counts = np.zeros((len(alphabet), len(alphabet)))
    for (first, second), count in pairs.items():
        if first in index and second in index:
            counts[index[first], index[second]] = count
    chance = np.maximum(counts.sum(0), 1) / counts.sum()
    share = (counts + SMOOTHED * chance) / (counts.sum(1, keepdims=True) + SMOOTHED)
    return np.clip(np.rint(STEPS * np.log(share / chance)), -127, 127).astype(np.int8)


def lowest(data: Path, folder: str, language: str) -> list[tuple[str, float]]:
    """Return the name of each text file of a language and the RARE quantile of its lines' information."""
    quantiles = []
    for file in sorted((data / "text" / folder).glob("*.txt")):
        lines = pl.Series(
            sorted(set(unicodedata.normalize("NFC", file.read_text("utf-8")).split("\n")))[::SAMPLED], dtype=pl.String
        )
        long_lines = lines.filter(lines.str.len_chars() >= SHORTEST).str.head(LONGEST).head(MOST_LINES)
        if len(long_lines):
            quantiles.append((file.stem, float(np.quantile(information(long_lines, language), RARE))))
    return quantiles


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    sys.exit(main(parser.parse_args().data))
