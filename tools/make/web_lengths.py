"""Compute how much text a letter carries in each script: lrldata/web/lengths.toml.

    python tools/make/web_lengths.py DATA

DATA contains lid/sib200_train.txt.gz: the same sentences of FLORES-200 in 205 languages. A script's factor is the mean
number of letters and marks per sentence over its languages, divided by the mean of Latin script.
"""

import argparse
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

from lid_data import TRAIN, read

import lrldata.web
from lrldata.manifest import write_text

HEAD = """\
# Letters and marks of a script that say as much as one letter of Latin script, measured by tools/make/web_lengths.py.
# Lengths in rules.toml that count letters are for Latin script, and are multiplied by these numbers. Syllabic scripts
# that FLORES-200 lacks have the number of the nearest script; scripts that are not listed are treated like Latin.
"""
# Yi letters are whole syllables, like Korean ones; Canadian Aboriginal, Cherokee and Vai letters resemble Ethiopic
# ones.
LIKE = {"Cans": "Ethi", "Cher": "Ethi", "Vaii": "Ethi", "Yiii": "Hang"}


def main(data: Path) -> int:
    """Compute the factors and write the file."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for label, text in read(data / TRAIN):
        sizes[label].append(sum(unicodedata.category(letter)[0] in "LM" for letter in text))
    means: dict[str, list[float]] = defaultdict(list)
    for label, lengths in sizes.items():
        means[label.partition("_")[2]].append(sum(lengths) / len(lengths))
    mean_by_script = {script: sum(language_means) / len(language_means) for script, language_means in means.items()}
    mean_by_script |= {script: mean_by_script[other] for script, other in LIKE.items()}
    rows = (f"{script} = {size / mean_by_script['Latn']:.2f}\n" for script, size in sorted(mean_by_script.items()))
    write_text(Path(lrldata.web.__file__).with_name("lengths.toml"), HEAD + "\n" + "".join(rows))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    sys.exit(main(parser.parse_args().data))
