"""Find which letters follow one another in a language: lrldata/web/pairs.npz.

    python tools/make/web_pairs.py DATA

DATA has lid/sib200_train.txt.gz: sentences of FLORES-200 in 205 languages, each about 650, of which those that no model
is trained on are held out. For each language go in its letters and marks, in lower case; a bit for each pair of them
that is there twice at least, where the first letter stands for the beginning and the end of a word; and the limit: as
large a share of unknown pairs as a held-out line has at most, and half as much again, or as 0.3 % of the lines of each
file of other text (text/LANG_Script/*.txt) have. Languages with more letters than
MOST are left out: pairs of Han characters say little.
"""

import sys
import unicodedata
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from lid_data import TYPED, held_out_rows, training_rows

import lrldata.web
from lrldata.language import languages
from lrldata.web.garbled import PAIRS, unknown_pairs

MOST, LEAST = 600, 2
LOWEST, HIGHEST = 0.18, 0.4  # limits, as few lines are held out
SAMPLED, MOST_LINES, RARE, SHORTEST, LONGEST = 7, 1000, 0.003, 25, 100


def limits(data: Path, arrays: dict[str, np.ndarray]) -> None:
    """Put into `arrays` the limits, of the pairs that the package has."""
    held: dict[str, list[str]] = defaultdict(list)
    for label, line in held_out_rows(data):
        held[label].append(line)
    for row in languages():
        if f"{row.code}.limit" not in arrays or row.sib200 not in held:
            continue
        least = max(1.5 * float(unknown_pairs(pl.Series(held[row.sib200]), row.code).max()), LOWEST)
        for file in sorted((data / "text" / (row.flores or "?")).glob("*.txt")):
            lines = pl.Series(sorted(set(file.read_text("utf-8").split("\n")))[:: max(1, SAMPLED)], dtype=pl.String)
            long = lines.filter(lines.str.len_chars() >= SHORTEST).str.head(LONGEST).head(MOST_LINES)
            shares = unknown_pairs(long, row.code)
            least = max(least, float(np.quantile(shares, 1 - RARE)) if len(shares) else 0.0)
        arrays[f"{row.code}.limit"] = np.array(round(min(least, HIGHEST), 3))


def main(data: Path) -> int:
    """Write the file."""
    pairs: dict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for label, line in training_rows(data):
        for text in {line, line.translate(str.maketrans(TYPED.get(label, {})))}:
            lower = unicodedata.normalize("NFC", text.lower())
            letters = "".join(letter if unicodedata.category(letter)[0] in "LM" else " " for letter in f" {lower} ")
            pairs[label].update(pairwise(letters))
    arrays: dict[str, np.ndarray] = {}
    for row in languages():
        if row.sib200 not in pairs:
            continue
        seen = {pair for pair, count in pairs[row.sib200].items() if count >= LEAST}
        alphabet = [" ", *sorted({letter for pair in seen for letter in pair} - {" "})]
        if len(alphabet) > MOST:
            continue
        at = {letter: number for number, letter in enumerate(alphabet)}
        table = np.zeros((len(alphabet), len(alphabet)), dtype=np.bool_)
        for first, second in seen:
            table[at[first], at[second]] = True
        arrays[f"{row.code}.letters"] = np.array([ord(letter) for letter in alphabet[1:]], dtype=np.uint32)
        arrays[f"{row.code}.seen"] = np.packbits(table)
        arrays[f"{row.code}.limit"] = np.array(HIGHEST)
    target = Path(lrldata.web.__file__).with_name(PAIRS)
    np.savez_compressed(target, **arrays)
    limits(data, arrays)
    np.savez_compressed(target, **arrays)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
