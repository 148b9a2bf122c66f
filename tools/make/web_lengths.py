"""Find how much a script says in a letter: lrldata/web/lengths.toml.

    python tools/make/web_lengths.py DATA

DATA has lid/sib200_train.txt.gz: the same sentences of FLORES-200 in 205 languages. A script's figure is the mean
number of letters and marks of a sentence in it, over its languages, divided by that of Latin script.
"""

import argparse
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

from lid_data import TRAIN, read

import lrldata.web
from lrldata.manifest import write_text

HEAD = """# Letters and marks that a script takes for as much text as Latin script says in one, by
# tools/make/web_lengths.py. Lengths in rules.toml that count letters are of Latin script, and are multiplied by this.
# Scripts of syllables that FLORES-200 lacks are as those nearest to them, and others that are not here as Latin.
"""
# A letter of Yi is a whole syllable, as a Korean one; one of Canadian Aboriginal, Cherokee and Vai as an Ethiopic one.
LIKE = {"Cans": "Ethi", "Cher": "Ethi", "Vaii": "Ethi", "Yiii": "Hang"}


def main(data: Path) -> int:
    """Write the file."""
    sizes: dict[str, list[int]] = defaultdict(list)
    for label, text in read(data / TRAIN):
        sizes[label].append(sum(unicodedata.category(letter)[0] in "LM" for letter in text))
    means: dict[str, list[float]] = defaultdict(list)
    for label, found in sizes.items():
        means[label.partition("_")[2]].append(sum(found) / len(found))
    of_script = {script: sum(each) / len(each) for script, each in means.items()}
    of_script |= {script: of_script[other] for script, other in LIKE.items()}
    rows = (f"{script} = {size / of_script['Latn']:.2f}\n" for script, size in sorted(of_script.items()))
    write_text(Path(lrldata.web.__file__).with_name("lengths.toml"), HEAD + "\n" + "".join(rows))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    sys.exit(main(parser.parse_args().data))
