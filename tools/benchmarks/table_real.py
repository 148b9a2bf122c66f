"""Real base models on real data: perplexity, tasks and prompts, with and without language adapters.

    python tools/make/real_bases.py BASES
    python tools/benchmarks/table_real.py DATA WORKSPACE BASES [--lang cy mt ...] [--parts decoders encoders prompting]
    python tools/benchmarks/table_answers.py DATA WORKSPACE
    lrltrain report WORKSPACE

decoders    SmolLM2-135M: perplexity a byte on FLORES-200 devtest before and after adapters on running text (cy mt ug
            si, the languages of the paper's LLaMA that DATA has)
encoders    multilingual-e5-small with a language modelling head: pseudo-perplexity before and after, and topic,
            sentiment and names on the base model alone and on each adapter, for every language that DATA has
prompting   SmolLM2-135M on the topics of SIB-200

What is finished is not repeated, and a killed run goes on; --steps, --epochs, --limit, --flores-limit and --seeds make
it smaller, and --precision bf16 faster where the processor multiplies in it. What they were stands above the tables. On
a GPU the same command runs there. Every p is corrected for all comparisons of the workspace (Holm), † marks what is
more than chance.
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
from lrltrain.evaluation.score_tasks import score_tasks
from lrltrain.evaluation.score_text import SENTENCES_FILE, Score, score_text
from lrltrain.evaluation.tasks import FOLDERS
from lrltrain.fitting.fit import fit
from lrltrain.prompting.config import load_prompt_config
from lrltrain.prompting.prompt import prompt
from lrltrain.reporting.cells import read_cells
from lrltrain.reporting.formatting import changed
from lrltrain.reporting.tables import NONE, PPPL, Cell

DECODER, ENCODER = "smollm2-135m", "e5-small-mlm"
DECODER_LANGUAGES = ["cy", "mt", "ug", "si"]
METHODS = {DECODER: ["seq_bn_inv", "lora"], ENCODER: ["seq_bn", "seq_bn_inv", "lora"]}
RATE, TASK_RATE = 1e-3, 1e-3  # of models of 135 and 118 million weights; the paper's are for larger ones
EVALUATIONS = 4  # of an adapter; each reads a twentieth of its text
QUIET = Progress(quiet=True)


def main() -> None:
    """Fit, measure, and print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("bases", type=Path)
    parser.add_argument("--parts", nargs="+", default=["decoders", "encoders", "prompting"])
    parser.add_argument("--lang", nargs="+", help="all that DATA has, of decoders those of the paper")
    parser.add_argument("--methods", nargs="*", help="all; given without one, the base models alone")
    parser.add_argument("--tasks", nargs="*", default=list(FOLDERS))
    parser.add_argument("--steps", type=int, default=2_000, help="of 16 blocks of 128 tokens, of each adapter")
    parser.add_argument("--precision", default="auto", help="of training and prompts: auto | fp32 | bf16")
    parser.add_argument("--text-bytes", type=int, default=2_000_000, help="of running text, of each language")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of each task")
    parser.add_argument("--epochs", type=int, help="of each task; the paper's 20 or 25")
    parser.add_argument("--limit", type=int, help="items drawn of each split of a task, and of a prompted test set")
    parser.add_argument("--flores-limit", type=int, help="sentences of FLORES-200")
    given = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[1] / "make"))
    shown = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in _shown(given))
    print(f"Made with: {shown}.", flush=True)
    if "decoders" in given.parts:
        scores = [each for code in given.lang or DECODER_LANGUAGES for each in perplexities(given, DECODER, code)]
    if "encoders" in given.parts:
        codes = given.lang or _known(given.data / "text")
        for code in codes:
            perplexities(given, ENCODER, code)
            tasks(given, code)
    if "prompting" in given.parts:
        codes = ",".join(given.lang or _known(given.data / "sib200"))
        flags = {
            "lang": codes,
            "data": given.data / "sib200",
            "model": str(given.bases / DECODER),
            "precision": given.precision,
            "out": given.workspace,
        }
        prompt(load_prompt_config(None, flags | ({"limit": given.limit} if given.limit else {})), QUIET)
    cells = read_cells(given.workspace)  # when all is there, as every p is corrected for all comparisons
    if "decoders" in given.parts:
        print(f"\n{decoder_table(scores, cells)}")
    if "encoders" in given.parts:
        print(f"\n{encoder_perplexities(cells)}\n\n{task_table(cells)}")
    if "prompting" in given.parts:
        print(f"\n{prompt_table(cells)}")


def perplexities(given: argparse.Namespace, base: str, code: str) -> list[Score]:
    """Train each adapter of a base model on a language's text, and measure perplexity with and without it."""
    language, where = find(code), {"out": given.workspace}
    common = {"lang": code, "base": str(given.bases / base), "text": [_text(given, language)]}
    common |= {"cache": given.workspace / "cache"}
    common |= where | {"max_length": 128, "batch_size": 16, "steps": given.steps, "learning_rate": RATE}
    common |= {"eval_every": max(1, given.steps // EVALUATIONS), "precision": given.precision}
    folders = [
        fit(load_fit_config(None, common | {"method": method}), Progress()).path for method in _methods(given, base)
    ]
    flags = where | {"lang": code, "base": str(given.bases / base), "data": str(given.data / "flores200" / "devtest")}
    flags |= {"adapter": folders} | ({"limit": given.flores_limit} if given.flores_limit else {})
    return score_text(load_eval_config(None, flags), Progress())


def tasks(given: argparse.Namespace, code: str) -> None:
    """Score every task that the data has for a language, on the encoder alone and on each adapter."""
    language = find(code)
    base = given.workspace / "adapters" / code / ENCODER
    flags: dict[str, Any] = {
        "lang": code,
        "base": str(given.bases / ENCODER),
        "adapter": [base / f"text-{method}" for method in _methods(given, ENCODER)],
        "baselines": [NONE],
        "learning_rate": TASK_RATE,
        "seeds": given.seeds,
        "precision": given.precision,
        "out": given.workspace,
        **({"epochs": given.epochs} if given.epochs else {}),
        **({"limit": given.limit} if given.limit else {}),
    }
    for task in given.tasks:
        for data in _sets(given.data / FOLDERS[task] / str(language.sib200 or language.flores)):
            score_tasks(load_eval_config(None, flags | {"task": task, "data": str(data)}), Progress())


def decoder_table(scores: list[Score], cells: tuple[Cell, ...]) -> str:
    """Return a line an adapter: perplexities a byte, their ratio, that a token with its interval, and corrected p."""
    found = {(cell.row.language, cell.row.method): cell for cell in cells if _is_of(cell, DECODER)}
    lines = [
        "| language | method | a byte, before | after | after / before, a token (95 % CI) | p |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for score in scores:
        cell = found[score.language, score.method]
        after = a_byte(score.path)
        if cell.against is None:
            lines.append(f"| {score.language} | {score.method} | {after:.3f} | - | - | - |")
            continue
        before = a_byte(_alone(score))
        change = cell.against.change
        ratio = f"{change.value:.3f} ({change.low:.3f} to {change.high:.3f}){_mark(cell)}"
        lines.append(f"| {score.language} | {score.method} | {before:.3f} | {after:.3f} | {ratio} | {_p(cell)} |")
    return "\n".join(lines)


def a_byte(folder: Path) -> float:
    """Return exp(-sum of log-likelihoods / bytes of UTF-8) of the sentences of a folder of scores."""
    table = pl.read_parquet((folder / SENTENCES_FILE).read_bytes())
    size = table["sentence"].str.len_bytes().sum()
    return float(np.exp(-table["log_likelihood"].sum() / size))


def _alone(score: Score) -> Path:
    """Return the folder with the likelihoods of the base model alone that a score was compared with."""
    assert score.before
    places = sorted((score.path.parents[1] / "base").glob(f"{PPPL}-*"))
    by_value = {folder: pl.read_parquet((folder / SENTENCES_FILE).read_bytes()) for folder in places}
    for folder, table in by_value.items():
        value = np.exp(-table["log_likelihood"].sum() / table["tokens"].sum())
        if abs(value - score.before.value) <= 1e-9 * score.before.value:
            return folder
    raise InputError(f"{score.path}: its base model's likelihoods are not beside it.")


def encoder_perplexities(cells: tuple[Cell, ...]) -> str:
    """Return a line per language: pseudo-perplexity without an adapter, and the ratio to it with each, corrected p."""
    mine = [cell for cell in cells if _is_of(cell, ENCODER)]
    methods = [name for name in METHODS[ENCODER] if any(cell.row.method == name for cell in mine)]
    lines = [f"| language | {' | '.join([NONE, *methods])} |", f"| --- |{' ---: |' * (1 + len(methods))}"]
    places: dict[str, dict[str, Cell]] = {}
    for cell in mine:
        places.setdefault(cell.row.language, {})[cell.row.method] = cell
    for language, row in places.items():
        told = " | ".join(_ratio(row[method]) if method in row else "-" for method in methods)
        lines.append(f"| {language} | {row[NONE].score.value:,.1f} | {told} |")
    return "\n".join(lines)


def _ratio(cell: Cell) -> str:
    if cell.against is None:
        return f"{cell.score.value:,.1f}"
    change = cell.against.change
    return f"{change.value:.3f} ({change.low:.3f} to {change.high:.3f}){_mark(cell)}, p {_p(cell)}"


def task_table(cells: tuple[Cell, ...]) -> str:
    """Return a line a test set: F1 in per cent of each method, with its change and corrected p."""
    mine = [cell for cell in cells if cell.row.base == ENCODER and cell.column.task != PPPL]
    methods = [name for name in [NONE, *METHODS[ENCODER]] if any(cell.row.method == name for cell in mine)]
    lines = [f"| language | task | data | items | {' | '.join(methods)} |"]
    lines.append(f"| --- | --- | --- |{' ---: |' * (1 + len(methods))}")
    places: dict[Any, dict[str, Cell]] = {}
    for cell in mine:
        places.setdefault((cell.row.language, cell.column), {})[cell.row.method] = cell
    for (language, column), row in places.items():
        items = next(iter(row.values())).items
        told = " | ".join(_score(row[method]) if method in row else "-" for method in methods)
        lines.append(f"| {language} | {column.task} | {column.data} | {items} | {told} |")
    return "\n".join(lines)


def prompt_table(cells: tuple[Cell, ...]) -> str:
    """Return a line per language: macro-F1 of the prompted decoder."""
    lines = ["| language | data | items | SmolLM2-135M, prompted |", "| --- | --- | ---: | ---: |"]
    mine = [cell for cell in cells if cell.row.base == DECODER and cell.row.method.startswith("prompt")]
    lines += [f"| {cell.row.language} | {cell.column.data} | {cell.items} | {_score(cell)} |" for cell in mine]
    return "\n".join(lines)


def _score(cell: Cell) -> str:
    deviation = f" ± {100 * cell.sd:.1f}" if cell.sd is not None else ""
    told = f"{100 * cell.score.value:.1f}{deviation} ({100 * cell.score.low:.1f} to {100 * cell.score.high:.1f})"
    if cell.against is None:
        return told
    return f"{told}, {changed(cell.against.change.value, cell.column)}{_mark(cell)}, p {_p(cell)}"


def _mark(cell: Cell) -> str:
    return " †" if cell.verdict else ""


def _p(cell: Cell) -> str:
    return f"{cell.against.p_corrected:.3f}" if cell.against else "-"


def _is_of(cell: Cell, base: str) -> bool:
    return cell.row.base == base and cell.column.task == PPPL


def _methods(given: argparse.Namespace, base: str) -> list[str]:
    return [name for name in METHODS[base] if given.methods is None or name in given.methods]


def _shown(given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    for name in ("steps", "precision", "text_bytes", "seeds", "epochs", "limit", "flores_limit"):
        value = getattr(given, name)
        if value is not None:
            yield name, " ".join(map(str, value)) if isinstance(value, list) else value


def _known(folder: Path) -> list[str]:
    """Return the paper's languages that have a folder of their code, in their order."""
    return [each.code for each in languages() if each.paper and (folder / str(each.sib200 or each.flores)).is_dir()]


def _text(given: argparse.Namespace, language: Language) -> Path:
    """Write what adapters of a language are trained on, and return where."""
    from sampled_text import sampled  # of tools/make

    path = given.workspace / "cache" / "text" / f"{language.code}-{given.text_bytes}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = sampled(given.data / "text" / str(language.flores), given.text_bytes)
    write_text(path, "\n".join(lines) + "\n")
    return path


def _sets(folder: Path) -> list[Path]:
    return sorted(file.parent for file in [*folder.glob("train.tsv"), *folder.glob("*/train.tsv")])


if __name__ == "__main__":
    main()
