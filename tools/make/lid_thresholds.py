"""Compute the thresholds of language identification per model and language: lrldata/langid/thresholds.toml.

    python tools/make/lid_thresholds.py ../shared/data lrldata/langid/thresholds.toml [--model compact --model FILE ...]

OUT is replaced, so name every model whose thresholds it should have; the default is compact and lid176.

Good lines of a language are SIB-200's dev lines, held-out lines and, as another domain, the news of NTREX-128 if
present (`DATA/text/LANG/ntrex.txt`), each whole and cut to three to twelve words, like lines of web pages. Bad lines
are the held-out lines of the other 204 languages, also whole and cut. A threshold is the lowest that reaches the target
precision, but at least FLOOR, which rejects text in no language, and at most the highest that keeps the target share of
the good lines that the model identifies as the language. If precision is sufficient without a higher threshold, no good
line is lost. Test lines and the Universal Declaration are not used.

Precision assumes equally many lines per language: the good lines of a language have a total weight of 1, and so do the
bad lines of each other language. On the web, the proportions differ.
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
SHORTEST, LONGEST = 3, 12  # words in a cut line
NEWS_LINES = 400  # lines of NTREX per language, so that it does not dominate the other sources
HEAD = """\
# Thresholds of language identification, computed by tools/make/lid_thresholds.py: one table per model and language.
#
#   threshold   lines below this probability are not kept
#   kept        share of the language's good lines at or above the threshold
#   precision   of the kept lines, assuming equally many lines in each of the 205 languages
#   rivals      precision among only the languages in confusable.toml
#   lines       number of good lines measured
#
# Each threshold is the lowest with a precision of {precision}, but at least {floor} and at most the highest that keeps
# {keep} of the good lines that the model identifies as the language.
"""


class Measured(NamedTuple):
    """A threshold and its effect: shares of kept lines and precision, and the number of good lines."""

    threshold: float
    kept: float
    precision: float
    rivals: float
    lines: int


def main() -> None:
    """Measure each model and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", action="append", default=[], help="name or path of a model; may be repeated")
    parser.add_argument("--keep", type=float, default=0.95, help="lowest share of the identified good lines to keep")
    parser.add_argument(
        "--precision", type=float, default=0.995, help="target precision; no good line is dropped to exceed it"
    )
    args = parser.parse_args()
    rows = with_cuts(good_and_bad(args.data))
    table = HEAD.format(floor=FLOOR, keep=args.keep, precision=args.precision)
    for model in [load_model(model_name) for model_name in args.model or ["compact", "lid176"]]:
        print(f"{model.name}: language, threshold, kept, precision, among rivals, lines")
        for code, row in measure(model, rows, args.keep, args.precision).items():
            print(f"  {code}", *(f"{value:g}" for value in row))
            values = ", ".join(f"{name} = {value:g}" for name, value in row._asdict().items())
            table += f'\n["{model.name}".{code}]\n' + values.replace(", ", "\n") + "\n"
    write_text(args.out, table)


def good_and_bad(data: Path) -> list[Row]:
    """Return labelled lines of all languages that are in neither the training nor the test data."""
    rows = {*held_out_rows(data), *(row for row in sib200_rows(data, "dev") if row[0] in PAPER)}
    for label in PAPER:
        news = data / "text" / label / "ntrex.txt"
        if news.is_file():
            lines = sorted(set(news.read_text("utf-8").split("\n")) - {""})
            rows |= {(label, line) for line in random.Random(1).sample(lines, NEWS_LINES)}
    return sorted(rows)


def with_cuts(rows: list[Row], seed: int = 7) -> list[Row]:
    """Return the lines and, for each, a copy cut to a few words."""
    generator = random.Random(seed)
    cut = [(label, crop(label, text, generator.randint(SHORTEST, LONGEST), generator)) for label, text in rows]
    return [row for row in [*rows, *cut] if prepare(row[1])]


def measure(model: LanguageModel, rows: Sequence[Row], keep: float, precision: float) -> dict[str, Measured]:
    """Return the thresholds of the paper's languages by code."""
    codes = {row.sib200: row.code for row in languages() if row.sib200}
    counts: dict[str, int] = defaultdict(int)
    identified: dict[str, list[tuple[float, str]]] = defaultdict(list)  # by predicted language
    predictions = model.predict([text for _, text in rows], k=1)
    for (label, _), prediction in zip(rows, predictions, strict=True):
        true = codes[label]
        counts[true] += 1
        identified[prediction.labels[0]].append((prediction.probabilities[0], true))
    return {
        code: _threshold(code, sorted(identified[code], reverse=True), counts, keep, precision)
        for code in (find(label).code for label in PAPER)
    }


def _threshold(
    code: str, identified: list[tuple[float, str]], counts: dict[str, int], keep: float, precision: float
) -> Measured:
    """Compute a threshold from the lines identified as a language, sorted by descending probability."""
    rivals = margins_of(code)
    good = bad = rival = 0.0
    steps = []
    for probability, true in identified:
        share = 1 / counts[true]
        good += share * (true == code)
        bad += share * (true != code)
        rival += share * (true in rivals)
        steps.append((probability, good, good / (good + bad), good / (good + rival) if good else 0.0))
    identified_share = steps[-1][1]  # share of the good lines that the model identifies as the language
    highest, *_ = next(step for step in steps if step[1] >= keep * identified_share)
    precise = [
        index
        for index, (_, kept, reached, _) in enumerate(steps)
        if kept >= keep * identified_share and reached >= precision
    ]
    lowest = highest if not precise else FLOOR if precise[-1] == len(steps) - 1 else max(FLOOR, steps[precise[-1]][0])
    threshold = int(min(highest, lowest) * 1000) / 1000  # rounded down, so that the measured lines are kept
    _, kept, reached, among_rivals = next(step for step in reversed(steps) if step[0] >= threshold)
    return Measured(threshold, round(kept, 4), round(reached, 4), round(among_rivals, 4), counts[code])


if __name__ == "__main__":
    main()
