"""Score recorded answers of GPT-3.5 and GPT-4 on SIB-200 under three rules, and compare them with trained encoders.

    python tools/benchmarks/table_answers.py DATA WORKSPACE

DATA contains `sib200/LANG_Script` and `sib200_llm/{gpt4,gpt3.5}/LANG_Script.tsv` (SIB-200's llm-results). Scores are
stored in WORKSPACE. If it has topic runs of other models, such as those by tools/benchmarks/table_real.py, each is
compared with GPT-4 on the same items (strict rule), with paired randomization tests and Holm correction over all
comparisons in the table.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

import polars as pl

from lrldata.language import languages
from lrldata.progress import Progress
from lrltrain.evaluation import significance, statistics
from lrltrain.evaluation.items import LABELS
from lrltrain.evaluation.record import Run, runs_in
from lrltrain.evaluation.statistics import Counts
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.prompt import prompt

MODELS = {"gpt-4": "gpt4", "gpt-3.5": "gpt3.5"}  # model names and their folders
RULES = ("macro_f1", "first_macro_f1", "study_f1")


def main() -> None:
    """Score the answers and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("workspace", type=Path)
    args = parser.parse_args()
    scored = {model: score(args.data, folder, model, args.workspace) for model, folder in MODELS.items()}
    print(rules_table(scored))
    others = [run for run in runs_in(args.workspace) if run.task == "topic" and run.base not in MODELS]
    if others:
        print("\n" + encoder_table(scored["gpt-4"], others))


def score(data: Path, folder: str, model: str, workspace: Path) -> dict[str, Run]:
    """Return the runs of all languages with recorded answers and a test set, by language code."""
    answers = data / "sib200_llm" / folder
    codes = [
        language.code
        for language in languages()
        if (answers / f"{language.sib200}.tsv").is_file() and (data / "sib200" / str(language.sib200)).is_dir()
    ]
    flags = {"lang": ",".join(codes), "data": data / "sib200", "answers": answers, "model_id": model, "out": workspace}
    return {run.language: run for run in prompt(load_prompt_config(None, flags), Progress(quiet=True))}


def rules_table(scored: dict[str, dict[str, Run]]) -> str:
    """Return one row per language and the mean: F1 in per cent of each model under each rule."""
    headings = [f"{model}, {rule}" for model in scored for rule in ("strict (95 % CI)", "first", "study's")]
    lines = [_row("language", *headings), _row("---", *["---:"] * len(headings))]
    for code in next(iter(scored.values())):
        cells = []
        for runs in scored.values():
            resampled = statistics.bootstrap(counts([runs[code]]), 1_000, 0)
            strict = statistics.percentiles(runs[code].result["macro_f1"], resampled)
            cells.append(f"{strict.value:.1%} ({strict.low:.1%} to {strict.high:.1%})".replace("%", ""))
            cells += [f"{100 * runs[code].result[rule]:.1f}" for rule in RULES[1:]]
        lines.append(_row(code, *cells))
    means = [fmean(run.result[rule] for run in runs.values()) for runs in scored.values() for rule in RULES]
    lines.append(_row("mean", *(f"{100 * mean:.1f}" for mean in means)))
    return "\n".join([*lines, *(f"\n{model}: {_differences(list(runs.values()))}" for model, runs in scored.items())])


def _differences(runs: list[Run]) -> str:
    """Describe how the study's rule differs from the strict one."""
    table = pl.concat([run.predictions for run in runs])
    invalid, accuracy = table["predicted"].null_count() / len(table), table["study"].mean()
    strict = pl.col("predicted").eq_missing(pl.col("gold"))
    lost = table.filter(strict & ~pl.col("study"))
    slash = lost.filter(pl.col("gold") == "science/technology")
    gained = table.filter(~strict & pl.col("study"))
    return (
        f"{invalid:.1%} of answers name no label or several. Under the study's rule the accuracy is {accuracy:.3f}. "
        f"Of {len(table.filter(strict)):,} answers that are right under the strict rule, it counts {len(lost):,} as "
        f'wrong, {len(slash):,} of them because "science/technology" contains a "/"; it counts {len(gained):,} other '
        "answers as right."
    )


def encoder_table(gpt: dict[str, Run], others: Iterable[Run]) -> str:
    """Return one row per language and model: F1 in per cent, GPT-4's F1, the difference and its corrected p."""
    groups: dict[tuple[str, str, str, str], list[Run]] = {}
    for run in others:
        if run.language in gpt and run.predictions["gold"].equals(gpt[run.language].predictions["gold"]):
            groups.setdefault((run.base, run.method, str(run.folder.parent), run.language), []).append(run)
    rows = []
    for (base, method, _, language), runs in groups.items():
        ours, theirs = counts(runs), counts([gpt[language]])
        p = significance.randomization(ours, theirs, significance.exchanges_for(len(groups)), 0)
        resampled = statistics.with_seeds(statistics.bootstrap(ours, 1_000, 0), statistics.by_seed(ours), 0)
        resampled_differences = resampled - statistics.bootstrap(theirs, 1_000, 0)
        widening = statistics.widening(resampled_differences, statistics.by_seed(ours))
        change = statistics.percentiles(_f1(ours) - _f1(theirs), resampled_differences, -1.0, 1.0, widening)
        rows.append((base, method, language, len(runs), _f1(ours), _f1(theirs), change, p))
    corrected = significance.holm([row[-1] for row in rows])
    headings = ("model", "method", "language", "seeds", "F1", "gpt-4, strict", "difference (95 % CI)", "corrected p")
    lines = [_row(*headings), _row("---", "---", "---", *["---:"] * 5)]
    for (base, method, language, seeds, f1, gpt_f1, change, _), p in zip(rows, corrected, strict=True):
        text = f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"
        values = (f"{100 * f1:.1f}", f"{100 * gpt_f1:.1f}", text, f"{p:.3f}")
        lines.append(_row(base, method, language, str(seeds), *values))
    for base, method in dict.fromkeys(row[:2] for row in rows):
        model_rows = [(row, p) for row, p in zip(rows, corrected, strict=True) if row[:2] == (base, method)]
        ours, gpt_f1 = fmean(row[4] for row, _ in model_rows), fmean(row[5] for row, _ in model_rows)
        significant = [row[6].value for row, p in model_rows if statistics.is_clear(row[6], p)]
        better, worse = sum(value > 0 for value in significant), sum(value < 0 for value in significant)
        study = fmean(gpt[row[2]].result["study_f1"] for row, _ in model_rows)
        text = f"mean {100 * ours:.1f}; gpt-4: {100 * gpt_f1:.1f} strict, {100 * study:.1f} by the study's rule"
        lines.append(f"\n{base}, {method}, {len(model_rows)} languages: {text}; better in {better}, worse in {worse}.")
    return "\n".join(lines)


def counts(runs: list[Run]) -> Counts:
    """Return the counts over the seven classes of runs that differ only in their seed."""
    gold = runs[0].predictions["gold"].to_list()
    return statistics.label_counts(gold, [run.predictions["predicted"].to_list() for run in runs], LABELS["topic"])


def _f1(counted: Counts) -> float:
    return float(statistics.by_seed(counted).mean())


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
