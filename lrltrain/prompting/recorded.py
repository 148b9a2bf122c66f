"""Score answers that a model gave elsewhere, under three stated rules of reading them.

A file of answers is UTF-8, tab-separated, with quotes as in CSV, so that an answer may have several lines. Its header
names the column `text`, by which answers and test items are matched; `category`, where it is there, must agree with the
test set. The last column is the answer. SIB-200's recorded answers (Adelani et al. 2024, `llm-results`) are such files.

The rules:

    strict   the one label that the answer names; one that names none, several, or denies one is wrong. Macro-F1 over
             the classes. This is the score of the run, as for every other model.
    first    the label that is named first, whatever follows. Macro-F1.
    study    as the script of Gurgurov et al. 2025 (stats/llms/gpt4_results.py): an answer with "," or "/" is wrong, and
             else right where it holds the gold label; the F1 is the binary one of being right, where every item should
             be: 2a / (1 + a) of the accuracy a. "science/technology" has a "/" itself, so that to name it is wrong.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lrldata.encoding import undecodable
from lrldata.errors import InputError
from lrldata.language import Language
from lrldata.normalize import normalize
from lrltrain.evaluation.items import Task
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.tasks import LONGEST_FIELD
from lrltrain.prompting.answers import first_label_in, label_in, valid
from lrltrain.prompting.examples import TestSet

TEXT, GOLD = "text", "category"
_NOT_ANSWERS = {"", "index_id", GOLD, TEXT}
_WANTED = "A header with `text`, perhaps `category`, and the answers in the last column, as in SIB-200's own files."


@dataclass(frozen=True)
class Recorded:
    """One answer: the line on which it begins, the text that was asked about, its gold label if the file has it."""

    line: int
    text: str
    gold: str | None
    answer: str


@dataclass(frozen=True)
class Readings:
    """What answers say: the strict reading of each, columns with the other two, and the scores by those."""

    answers: list[str]
    strict: list[str | None]
    columns: Mapping[str, pl.Series]
    scores: Mapping[str, float]


def find_recorded(answers: Path, languages: Sequence[Language]) -> list[Path]:
    """Return the file of answers of each language: the one that is named, or those of a folder. Raises InputError."""
    if answers.is_dir():
        files = [answers / f"{language.sib200 or language.flores}.tsv" for language in languages]
        missing = [(language, file) for language, file in zip(languages, files, strict=True) if not file.is_file()]
        if missing:
            names = ", ".join(f"{language.name} ({file.name})" for language, file in missing)
            raise InputError(f"{answers}: has no answers for {names}.", "Leave these languages out of --lang.")
        return files
    if not answers.is_file():
        raise InputError(f"{answers}: no such file.", "Give a table of answers, or a folder of LANG_Script.tsv.")
    if len({language.code for language in languages}) > 1:
        raise InputError(f"{answers}: is one file for several languages.", "Give the folder of their LANG_Script.tsv.")
    return [answers] * len(languages)


def read_recorded(file: Path) -> list[Recorded]:
    """Read a file of answers. Raises InputError that names file and line."""
    csv.field_size_limit(LONGEST_FIELD)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter="\t", strict=True)
            header = next(reader, [])
            if TEXT not in header or header[-1] in _NOT_ANSWERS or len(set(header)) < len(header):
                raise InputError(f"{file}: line 1 has {', '.join(map(repr, header)) or 'nothing'}.", _WANTED)
            rows, line = [], reader.line_num + 1
            for row in reader:
                if row:
                    rows.append(_row(file, line, header, row))
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        with file.open("rb") as raw:
            raise undecodable(file, raw) from error
    except csv.Error as error:
        raise InputError(f"{file}: line {reader.line_num}: {error}.", _WANTED) from error
    if not rows:
        raise InputError(f"{file}: holds no answer.", _WANTED)
    return rows


def match(recorded: Sequence[Recorded], test: TestSet, file: Path) -> list[str]:
    """Return the answer about each item of a test set, in its order. Raises InputError for answers about another set.

    Of items with one text, each has the answer at its own place among them.
    """
    waiting: defaultdict[str, list[Recorded]] = defaultdict(list)
    for each in reversed(recorded):
        waiting[_key(each.text)].append(each)
    told: list[str] = []
    for number, item in enumerate(test.test, 1):
        same = waiting[_key(item.text)]
        if not same:
            raise InputError(f"{file}: has no answer about item {number} of {test.name}: {item.text[:60]!r}.", _OTHER)
        answer = same.pop()
        if answer.gold is not None and answer.gold != item.label:
            raise InputError(f"{file}: line {answer.line} is {answer.gold!r}, in {test.name} {item.label!r}.", _OTHER)
        told.append(answer.answer)
    if left := sorted(each.line for several in waiting.values() for each in several):
        raise InputError(f"{file}: line {left[0]} answers about a text that is not in {test.name}.", _OTHER)
    return told


def reread(answers: list[str], gold: Sequence[str], labels: Mapping[str, Sequence[str]], task: Task) -> Readings:
    """Read answers under the three rules; scores are 0 to 1."""
    first = [first_label_in(answer, labels) for answer in answers]
    right = [study_right(answer, label) for answer, label in zip(answers, gold, strict=True)]
    by_first = scores(task, gold, first)
    accuracy = sum(right) / len(right)
    return Readings(
        answers,
        [label_in(answer, labels) for answer in answers],
        {"first": pl.Series(first, dtype=pl.String), "study": pl.Series(right, dtype=pl.Boolean)},
        {
            "first_macro_f1": by_first["macro_f1"],
            "first_accuracy": by_first["accuracy"],
            "study_f1": 2 * accuracy / (1 + accuracy),
            "study_accuracy": accuracy,
        },
    )


def study_right(answer: str, gold: str) -> bool:
    """Return whether an answer is right by the study's rule."""
    return "," not in answer and "/" not in answer and gold.lower() in answer.lower()


_OTHER = "Give the --data that the answers are about, in the same version."


def _row(file: Path, line: int, header: Sequence[str], row: Sequence[str]) -> Recorded:
    if len(row) != len(header):
        raise InputError(f"{file}: line {line} has {len(row)} columns, not {len(header)}.", _WANTED)
    values = dict(zip(header, row, strict=True))
    return Recorded(line, values[TEXT], values.get(GOLD), valid(row[-1]))


def _key(text: str) -> str:
    """Return what two copies of a text have in common: SIB-200's files have spaces within their quotes."""
    return " ".join(normalize(text).split())
