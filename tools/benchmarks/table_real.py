"""Evaluate real base models on real data: perplexity, tasks and prompts, with and without language adapters.

    python tools/make/real_bases.py BASES
    python tools/benchmarks/table_real.py DATA WORKSPACE BASES [--lang cy mt ...] [--parts decoders encoders prompting]
    python tools/benchmarks/table_answers.py DATA WORKSPACE
    lrltrain report WORKSPACE

decoders    SmolLM2-135M: perplexity per byte on FLORES-200 devtest before and after training adapters on running text
            (cy mt ug si, the languages of the paper's LLaMA in DATA)
encoders    multilingual-e5-small with a language modelling head: pseudo-perplexity before and after, and topic,
            sentiment and NER on the base model and on each adapter, for every language in DATA
prompting   SmolLM2-135M on the topics of SIB-200

Finished work is not repeated, and a killed run resumes. --steps, --epochs, --limit, --flores-limit and --seeds reduce
the work, and --precision bf16 makes it faster on processors with bfloat16 instructions. The settings are printed above
the tables. The same command uses a GPU if there is one. p is corrected for all comparisons in the workspace (Holm), and
† marks significant differences.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lrldata.errors import InputError
from lrldata.language import Language, find, languages
from lrldata.manifest import write_text
from lrldata.progress import Progress
from lrltrain.config import load_eval_config, load_fit_config
from lrltrain.evaluation.record import NONE, PPPL
from lrltrain.evaluation.score_tasks import score_tasks
from lrltrain.evaluation.score_text import SENTENCES_FILE, Score, score_text
from lrltrain.evaluation.tasks import FOLDERS, folders_of
from lrltrain.fitting.fit import fit
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.prompt import prompt
from lrltrain.reporting.cells import read_cells
from lrltrain.reporting.formatting import changed
from lrltrain.reporting.tables import Cell

PARTS = ("decoders", "encoders", "prompting")
DECODER, ENCODER = "smollm2-135m", "e5-small-mlm"
DECODER_LANGUAGES = ["cy", "mt", "ug", "si"]
METHODS = {DECODER: ["seq_bn_inv", "lora"], ENCODER: ["seq_bn", "seq_bn_inv", "lora"]}
RATE, TASK_RATE = 1e-3, 1e-3  # for models with 135 and 118 million weights; the paper's rates are for larger ones
EVALUATIONS = 2  # per adapter; each reads a twentieth of its text
QUIET = Progress(quiet=True)


def main() -> None:
    """Train, evaluate, and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("bases", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--lang", nargs="+", help="default: all in DATA; for decoders, the paper's")
    parser.add_argument("--methods", nargs="*", help="default: all; without a value, only the base models")
    parser.add_argument("--tasks", nargs="*", default=list(FOLDERS))
    parser.add_argument("--steps", type=int, default=2_000, help="steps per adapter, of 16 blocks of 128 tokens")
    parser.add_argument("--precision", default="auto", help="for training and prompts: auto | fp32 | bf16")
    parser.add_argument("--text-bytes", type=int, default=2_000_000, help="bytes of running text per language")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="seeds of each task")
    parser.add_argument("--epochs", type=int, help="epochs of each task; default: the paper's 20 or 25")
    parser.add_argument(
        "--limit", type=int, help="items sampled from each split of a task and from a prompted test set"
    )
    parser.add_argument("--flores-limit", type=int, help="sentences of FLORES-200")
    args = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[1] / "make"))
    settings = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in _settings(args))
    print(f"Settings: {settings}.", flush=True)
    if "decoders" in args.parts:
        scores = [score for code in args.lang or DECODER_LANGUAGES for score in perplexities(args, DECODER, code)]
    if "encoders" in args.parts:
        codes = args.lang or _available(args.data / "text")
        for code in codes:
            perplexities(args, ENCODER, code)
            tasks(args, code)
    if "prompting" in args.parts:
        codes = ",".join(args.lang or _available(args.data / "sib200"))
        flags = {
            "lang": codes,
            "data": args.data / "sib200",
            "model": str(args.bases / DECODER),
            "precision": args.precision,
            "out": args.workspace,
        }
        prompt(load_prompt_config(None, flags | ({"limit": args.limit} if args.limit else {})), QUIET)
    cells = read_cells(args.workspace)  # after all parts, because p is corrected for all comparisons
    if "decoders" in args.parts:
        print(f"\n{decoder_table(scores, cells)}")
    if "encoders" in args.parts:
        print(f"\n{encoder_perplexities(cells)}\n\n{task_table(cells)}")
    if "prompting" in args.parts:
        print(f"\n{prompt_table(cells)}")


def perplexities(args: argparse.Namespace, base: str, code: str) -> list[Score]:
    """Train each adapter of a base model on a language's text, and compute perplexity with and without it."""
    language, paths = find(code), {"out": args.workspace}
    common = {"lang": code, "base": str(args.bases / base), "text": [_write_text(args, language)]}
    common |= {"cache": args.workspace / "cache"}
    common |= paths | {"max_length": 128, "batch_size": 16, "steps": args.steps, "learning_rate": RATE}
    common |= {"eval_every": max(1, args.steps // EVALUATIONS), "precision": args.precision}
    folders = [
        fit(load_fit_config(None, common | {"method": method}), Progress()).path for method in _methods(args, base)
    ]
    flags = paths | {"lang": code, "base": str(args.bases / base), "data": str(args.data / "flores200" / "devtest")}
    flags |= {"adapter": folders} | ({"limit": args.flores_limit} if args.flores_limit else {})
    return score_text(load_eval_config(None, flags), Progress())


def tasks(args: argparse.Namespace, code: str) -> None:
    """Evaluate every task in the data for a language, on the encoder without an adapter and on each adapter."""
    language = find(code)
    base = args.workspace / "adapters" / code / ENCODER
    flags: dict[str, Any] = {
        "lang": code,
        "base": str(args.bases / ENCODER),
        "adapter": [base / f"text-{method}" for method in _methods(args, ENCODER)],
        "baselines": [NONE],
        "learning_rate": TASK_RATE,
        "seeds": args.seeds,
        "precision": args.precision,
        "out": args.workspace,
        **({"epochs": args.epochs} if args.epochs else {}),
        **({"limit": args.limit} if args.limit else {}),
    }
    for task in args.tasks:
        for data in folders_of(task, args.data, language):
            score_tasks(load_eval_config(None, flags | {"task": task, "data": str(data)}), Progress())


def decoder_table(scores: list[Score], cells: tuple[Cell, ...]) -> str:
    """Return one row per adapter: perplexity per byte, ratio per token with its interval, and corrected p."""
    cell_by_row = {(cell.row.language, cell.row.method): cell for cell in cells if _is_perplexity_of(cell, DECODER)}
    lines = [
        "| language | method | perplexity per byte, before | after | ratio per token (95 % CI) | p |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for score in scores:
        cell = cell_by_row[score.language, score.method]
        after = perplexity_per_byte(score.path)
        if cell.against is None:
            lines.append(f"| {score.language} | {score.method} | {after:.3f} | - | - | - |")
            continue
        before = perplexity_per_byte(_base_folder(score))
        change = cell.against.change
        ratio = f"{change.value:.3f} ({change.low:.3f} to {change.high:.3f}){_mark(cell)}"
        lines.append(f"| {score.language} | {score.method} | {before:.3f} | {after:.3f} | {ratio} | {_p(cell)} |")
    return "\n".join(lines)


def perplexity_per_byte(folder: Path) -> float:
    """Return exp(-sum of log-likelihoods / UTF-8 bytes) over the sentences in a folder of scores."""
    table = pl.read_parquet((folder / SENTENCES_FILE).read_bytes())
    size = table["sentence"].str.len_bytes().sum()
    return float(np.exp(-table["log_likelihood"].sum() / size))


def _base_folder(score: Score) -> Path:
    """Return the folder with the base model's likelihoods that a score was compared with."""
    assert score.before
    folders = sorted((score.path.parents[1] / "base").glob(f"{PPPL}-*"))
    tables = {folder: pl.read_parquet((folder / SENTENCES_FILE).read_bytes()) for folder in folders}
    for folder, table in tables.items():
        value = np.exp(-table["log_likelihood"].sum() / table["tokens"].sum())
        if abs(value - score.before.value) <= 1e-9 * score.before.value:
            return folder
    raise InputError(f"{score.path}: the likelihoods of its base model are missing.")


def encoder_perplexities(cells: tuple[Cell, ...]) -> str:
    """Return one row per language: pseudo-perplexity without an adapter, the ratio with each adapter, corrected p."""
    encoder_cells = [cell for cell in cells if _is_perplexity_of(cell, ENCODER)]
    methods = [name for name in METHODS[ENCODER] if any(cell.row.method == name for cell in encoder_cells)]
    lines = [f"| language | {' | '.join([NONE, *methods])} |", f"| --- |{' ---: |' * (1 + len(methods))}"]
    rows: dict[str, dict[str, Cell]] = {}
    for cell in encoder_cells:
        rows.setdefault(cell.row.language, {})[cell.row.method] = cell
    for language, row in rows.items():
        ratios = " | ".join(_ratio(row[method]) if method in row else "-" for method in methods)
        lines.append(f"| {language} | {row[NONE].score.value:,.1f} | {ratios} |")
    return "\n".join(lines)


def _ratio(cell: Cell) -> str:
    if cell.against is None:
        return f"{cell.score.value:,.1f}"
    change = cell.against.change
    return f"{change.value:.3f} ({change.low:.3f} to {change.high:.3f}){_mark(cell)}, p {_p(cell)}"


def task_table(cells: tuple[Cell, ...]) -> str:
    """Return one row per test set: F1 in per cent with each method, with its change and corrected p."""
    encoder_cells = [cell for cell in cells if cell.row.base == ENCODER and cell.column.task != PPPL]
    methods = [name for name in [NONE, *METHODS[ENCODER]] if any(cell.row.method == name for cell in encoder_cells)]
    lines = [f"| language | task | data | items | {' | '.join(methods)} |"]
    lines.append(f"| --- | --- | --- |{' ---: |' * (1 + len(methods))}")
    rows: dict[Any, dict[str, Cell]] = {}
    for cell in encoder_cells:
        rows.setdefault((cell.row.language, cell.column), {})[cell.row.method] = cell
    for (language, column), row in rows.items():
        items = next(iter(row.values())).items
        scores_by_method = " | ".join(_score(row[method]) if method in row else "-" for method in methods)
        lines.append(f"| {language} | {column.task} | {column.data} | {items} | {scores_by_method} |")
    return "\n".join(lines)


def prompt_table(cells: tuple[Cell, ...]) -> str:
    """Return one row per language: macro-F1 of the prompted decoder in per cent."""
    lines = ["| language | data | items | SmolLM2-135M (95 % CI) |", "| --- | --- | ---: | ---: |"]
    prompt_cells = [cell for cell in cells if cell.row.base == DECODER and cell.row.method.startswith("prompt")]
    lines += [f"| {cell.row.language} | {cell.column.data} | {cell.items} | {_score(cell)} |" for cell in prompt_cells]
    return "\n".join(lines)


def _score(cell: Cell) -> str:
    deviation = f" ± {100 * cell.sd:.1f}" if cell.sd is not None else ""
    score = f"{100 * cell.score.value:.1f}{deviation} ({100 * cell.score.low:.1f} to {100 * cell.score.high:.1f})"
    if cell.against is None:
        return score
    return f"{score}, {changed(cell.against.change.value, cell.column)}{_mark(cell)}, p {_p(cell)}"


def _mark(cell: Cell) -> str:
    return " †" if cell.verdict else ""


def _p(cell: Cell) -> str:
    return f"{cell.against.p_corrected:.3f}" if cell.against else "-"


def _is_perplexity_of(cell: Cell, base: str) -> bool:
    return cell.row.base == base and cell.column.task == PPPL


def _methods(args: argparse.Namespace, base: str) -> list[str]:
    return [name for name in METHODS[base] if args.methods is None or name in args.methods]


def _settings(args: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    for name in ("steps", "precision", "text_bytes", "seeds", "epochs", "limit", "flores_limit"):
        value = getattr(args, name)
        if value is not None:
            yield name, " ".join(map(str, value)) if isinstance(value, list) else value


def _available(folder: Path) -> list[str]:
    """Return the codes of the paper's languages that have a subfolder, in the paper's order."""
    return [
        language.code
        for language in languages()
        if language.paper and (folder / str(language.sib200 or language.flores)).is_dir()
    ]


def _write_text(args: argparse.Namespace, language: Language) -> Path:
    """Write the training text of a language's adapters and return its path."""
    from sampled_text import sampled  # from tools/make

    path = args.workspace / "cache" / "text" / f"{language.code}-{args.text_bytes}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = sampled(args.data / "text" / str(language.flores), args.text_bytes)
    write_text(path, "\n".join(lines) + "\n")
    return path


if __name__ == "__main__":
    main()
