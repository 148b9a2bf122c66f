"""Find how letters follow one another in a language: lrldata/web/pairs.npz.

    python tools/make/web_pairs.py DATA

DATA has lid/sib200_train.txt.gz: sentences of FLORES-200 in 205 languages, each about 650, of which those that no model
is trained on are left out. For each language go in its letters and marks, in lower case, and the pointwise mutual
information of each pair of them, where the first letter stands for the beginning and the end of a word:
log(p(second | first) / p(second)), with SMOOTHED pairs more behind each letter, as chance has them. A letter that is
there once is none. Languages with more letters than MOST are left out: pairs of Han characters say little.

Then it prints, for the languages of the paper, the lowest .3 % of the lines of each file of other text
(text/LANG_Script/*.txt), of which the limit of rules.toml must be short.
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
    """Write the file."""
    pairs: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for label, line in training_rows(data):
        for text in {line, line.translate(str.maketrans(TYPED.get(label, {})))}:
            lower = unicodedata.normalize("NFC", text.lower())
            letters = "".join(letter if unicodedata.category(letter)[0] in "LM" else " " for letter in f" {lower} ")
            pairs[label].update(pair for pair in pairwise(letters) if pair != (" ", " "))
    arrays: dict[str, np.ndarray] = {}
    for row in languages():
        found = pairs.get(row.sib200 or "", Counter())
        often: Counter[str] = Counter()
        for (first, _), times in found.items():
            often[first] += times
        alphabet = [" ", *sorted(letter for letter, times in often.items() if times >= LEAST and letter != " ")]
        if 1 < len(alphabet) <= MOST:
            arrays[f"{row.code}.letters"] = np.array([ord(letter) for letter in alphabet[1:]], dtype=np.uint32)
            arrays[f"{row.code}.information"] = mutual_information(found, alphabet)
    np.savez_compressed(Path(lrldata.web.__file__).with_name(PAIRS), **arrays)
    for row in languages():
        if row.paper is not None:
            print(row.code, *(f"{name} {value:.2f}" for name, value in lowest(data, row.flores or "?", row.code)))
    return 0


def mutual_information(pairs: Counter[tuple[str, str]], alphabet: list[str]) -> np.ndarray:
    """Return the information of each pair, in STEPS a nat, (letters, letters)."""
    at = {letter: number for number, letter in enumerate(alphabet)}
    counts = np.zeros((len(alphabet), len(alphabet)))
    for (first, second), times in pairs.items():
        if first in at and second in at:
            counts[at[first], at[second]] = times
    chance = np.maximum(counts.sum(0), 1) / counts.sum()
    share = (counts + SMOOTHED * chance) / (counts.sum(1, keepdims=True) + SMOOTHED)
    return np.clip(np.rint(STEPS * np.log(share / chance)), -127, 127).astype(np.int8)


def lowest(data: Path, folder: str, language: str) -> list[tuple[str, float]]:
    """Return of each file of text the information that its lowest lines have."""
    found = []
    for file in sorted((data / "text" / folder).glob("*.txt")):
        lines = pl.Series(
            sorted(set(unicodedata.normalize("NFC", file.read_text("utf-8")).split("\n")))[::SAMPLED], dtype=pl.String
        )
        long = lines.filter(lines.str.len_chars() >= SHORTEST).str.head(LONGEST).head(MOST_LINES)
        if len(long):
            found.append((file.stem, float(np.quantile(information(long, language), RARE))))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    sys.exit(main(parser.parse_args().data))
