"""Compute the thresholds of language identification, one a model and language: lrldata/langid/thresholds.toml.

    python tools/make/lid_thresholds.py ../shared/data lrldata/langid/thresholds.toml [--model compact] [--model FILE]

Good lines of a language are SIB-200's dev lines, held-out lines and, of another domain, the news of NTREX-128 where it
is there (`DATA/text/LANG/ntrex.txt`), each whole and cut to three to twelve words, as lines of web pages are. Bad lines
are the held-out lines of the other 204 languages, whole and cut too. A threshold is the lowest that reaches the wanted
precision, but at least FLOOR, against text in no language, and never above the highest that keeps the wanted share of
those good lines that the model takes for the language at all. Where precision is there already, nothing is thrown away
for it. Test lines and the Universal Declaration have no part in it.

Precision is for as many lines of each language: each language's good lines count as 1, and so do the bad ones of each
other. On the web the shares are others.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lid_data import PAPER, Row, crop, held_out_rows, sib200_rows

from lrldata.langid import LanguageModel, load_model, margins_of, prepare
from lrldata.language import find, languages
from lrldata.manifest import write_text

FLOOR = 0.3
SHORTEST, LONGEST = 3, 12  # words of a cut line
NEWS_LINES = 400  # of NTREX a language, so that it does not crowd out the rest
HEAD = """\
# Thresholds of language identification, made by tools/make/lid_thresholds.py: a table per model, a row per language.
#
#   threshold   lines below this probability are not kept as the language's
#   kept        share of good lines of the language that are at or above it
#   precision   of what is kept, with as many lines of each of the 205 languages
#   rivals      precision with the languages of confusable.toml alone
#   lines       good lines measured
#
# The lowest threshold with a precision of {precision}, at least {floor}, but at most the highest that keeps {keep}
# of the good lines that the model takes for the language at all.
"""


class Measured(NamedTuple):
    """A threshold, and what it does."""

    threshold: float
    kept: float
    precision: float
    rivals: float
    lines: int


def main() -> None:
    """Measure each model and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", action="append", default=[], help="a name or a path; several times for several")
    parser.add_argument("--keep", type=float, default=0.95, help="share of the good lines found to keep at least")
    parser.add_argument("--precision", type=float, default=0.995, help="beyond this no good line is given up")
    given = parser.parse_args()
    rows = with_cuts(good_and_bad(given.data))
    table = HEAD.format(floor=FLOOR, keep=given.keep, precision=given.precision)
    for model in [load_model(which) for which in given.model or ["compact", "lid176"]]:
        print(f"{model.name}: language, threshold, kept, precision, precision among rivals, lines")
        for code, row in measure(model, rows, given.keep, given.precision).items():
            print(f"  {code}", *(f"{value:g}" for value in row))
            values = ", ".join(f"{name} = {value:g}" for name, value in row._asdict().items())
            table += f'\n["{model.name}".{code}]\n' + values.replace(", ", "\n") + "\n"
    write_text(given.out, table)


def good_and_bad(data: Path) -> list[Row]:
    """Return labelled lines of all languages, none of which the model learnt from or is tested on."""
    rows = {*held_out_rows(data), *(row for row in sib200_rows(data, "dev") if row[0] in PAPER)}
    for label in PAPER:
        news = data / "text" / label / "ntrex.txt"
        if news.is_file():
            lines = sorted(set(news.read_text("utf-8").split("\n")) - {""})
            rows |= {(label, line) for line in random.Random(1).sample(lines, NEWS_LINES)}
    return sorted(rows)


def with_cuts(rows: list[Row], seed: int = 7) -> list[Row]:
    """Add to each line one cut to a few words."""
    draw = random.Random(seed)
    cut = [(label, crop(label, text, draw.randint(SHORTEST, LONGEST), draw)) for label, text in rows]
    return [row for row in [*rows, *cut] if prepare(row[1])]


def measure(model: LanguageModel, rows: Sequence[Row], keep: float, precision: float) -> dict[str, Measured]:
    """Return the threshold of each of the paper's languages, by code."""
    codes = {row.sib200: row.code for row in languages() if row.sib200}
    counts: dict[str, int] = defaultdict(int)
    taken: dict[str, list[tuple[float, str]]] = defaultdict(list)  # by what a line is taken for
    predictions = model.predict([text for _, text in rows], k=1)
    for (label, _), found in zip(rows, predictions, strict=True):
        true = codes[label]
        counts[true] += 1
        taken[found.labels[0]].append((found.probabilities[0], true))
    return {
        code: _threshold(code, sorted(taken[code], reverse=True), counts, keep, precision)
        for code in (find(label).code for label in PAPER)
    }


def _threshold(
    code: str, taken: list[tuple[float, str]], counts: dict[str, int], keep: float, precision: float
) -> Measured:
    """Go down the lines that were taken for a language, the surest first, and stop at the threshold."""
    rivals = margins_of(code)
    good = bad = close = 0.0
    steps = []
    for probability, true in taken:
        share = 1 / counts[true]
        good += share * (true == code)
        bad += share * (true != code)
        close += share * (true in rivals)
        steps.append((probability, good, good / (good + bad), good / (good + close) if good else 0.0))
    found = steps[-1][1]  # share of the good lines that the model takes for the language at all
    highest, *_ = next(step for step in steps if step[1] >= keep * found)
    precise = [at for at, (_, kept, reached, _) in enumerate(steps) if kept >= keep * found and reached >= precision]
    wanted = highest if not precise else FLOOR if precise[-1] == len(steps) - 1 else max(FLOOR, steps[precise[-1]][0])
    at = int(min(highest, wanted) * 1000) / 1000  # downward, so that what was measured is kept
    _, kept, reached, among = next(step for step in reversed(steps) if step[0] >= at)
    return Measured(at, round(kept, 4), round(reached, 4), round(among, 4), counts[code])


if __name__ == "__main__":
    main()
