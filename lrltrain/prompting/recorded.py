"""Score answers that a model gave elsewhere, under three rules for reading them.

A file of answers is UTF-8 and tab-separated, quoted as in CSV, so an answer may span several lines. Its header has the
column `text`, which matches answers to test items. The answer is in the column `answer`, or else in the last one. If
there is a column `category`, `gold` or `label`, it must agree with the test set. SIB-200's recorded answers (Adelani et
al. 2024, `llm-results`) have this format.

The rules:

    strict   The one label that the answer names. An answer that names none or several, or denies one, is wrong.
             Macro-F1 over the classes. This is the score of the run, as for every other model.
    first    The first label that the answer names, whatever follows. Macro-F1.
    study    The rule in the script of Gurgurov et al. 2025 (stats/llms/gpt4_results.py): an answer with "," or "/" is
             wrong; any other is right if it contains the gold label. The F1 treats "right" as a binary class to which
             every item should belong: 2a / (1 + a) for accuracy a. "science/technology" contains a "/", so naming it
             is always wrong.
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
from lrldata.output import note
from lrltrain.evaluation.items import Task
from lrltrain.evaluation.metrics import scores
from lrltrain.evaluation.own_labels import LABEL
from lrltrain.evaluation.task_files import LONGEST_FIELD
from lrltrain.evaluation.tasks import folder_code
from lrltrain.prompting.answers import first_label_in, label_in, replace_surrogates
from lrltrain.prompting.examples import TestSet

TEXT, ANSWER = "text", "answer"
GOLD = ("category", "gold", "label")  # the first that exists is compared with the test set
_NOT_ANSWERS = {"", "index_id", TEXT, *GOLD, *LABEL}
_FORMAT_HINT = (
    "The header needs `text`, and `answer` or else the answers in the last column. It may have `category` or `label`."
)


@dataclass(frozen=True)
class RecordedAnswer:
    """One answer: the line on which it starts, the text it is about, its gold label if the file has one."""

    line: int
    text: str
    gold: str | None
    answer: str


@dataclass(frozen=True)
class Readings:
    """Answers with the strict reading of each, and the columns and scores of the other two rules."""

    answers: list[str]
    strict: list[str | None]
    columns: Mapping[str, pl.Series]
    scores: Mapping[str, float]


def find_recorded(answers: Path, languages: Sequence[Language]) -> list[Path]:
    """Return the file of answers for each language: `answers` itself, or files in that folder. Raises InputError."""
    if answers.is_dir():
        files = [answers / f"{folder_code(language)}.tsv" for language in languages]
        missing = [(language, file) for language, file in zip(languages, files, strict=True) if not file.is_file()]
        if missing:
            names = ", ".join(f"{language.name} ({file.name})" for language, file in missing)
            raise InputError(f"{answers}: no answers for {names}.", "Leave these languages out of --lang.")
        return files
    if not answers.is_file():
        raise InputError(f"{answers}: no such file.", "Give a table of answers, or a folder of LANG_Script.tsv files.")
    if len({language.code for language in languages}) > 1:
        raise InputError(
            f"{answers}: a single file for several languages.", "Give the folder with their LANG_Script.tsv files."
        )
    return [answers] * len(languages)


def read_recorded(file: Path) -> list[RecordedAnswer]:
    """Read a file of answers. Raises InputError with file and line if it is invalid."""
    csv.field_size_limit(LONGEST_FIELD)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter="\t", strict=True)
            written = next(reader, [])
            header = [name.strip().lower() for name in written]
            has_answers = ANSWER in header or (header and header[-1] not in _NOT_ANSWERS)
            if TEXT not in header or not has_answers or len(set(header)) < len(header):
                raise InputError(f"{file}: line 1 has {', '.join(map(repr, written)) or 'nothing'}.", _FORMAT_HINT)
            if ANSWER in header and header[-1] not in {ANSWER, *_NOT_ANSWERS}:
                note(f"{file}: the answers are read from the column {ANSWER!r}, not {written[-1]!r}.")
            rows, line = [], reader.line_num + 1
            for row in reader:
                if row:
                    rows.append(_row(file, line, header, row))
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        with file.open("rb") as raw:
            raise undecodable(file, raw) from error
    except csv.Error as error:
        raise InputError(f"{file}: line {reader.line_num}: {error}.", _FORMAT_HINT) from error
    if not rows:
        raise InputError(f"{file}: no answers.", _FORMAT_HINT)
    return rows


def match(recorded: Sequence[RecordedAnswer], test: TestSet, file: Path) -> list[str]:
    """Return the answer for each item of a test set, in order. Raises InputError if the answers are for another set.

    If several items have the same text, they take the answers for that text in the order of the file.
    """
    unmatched: defaultdict[str, list[RecordedAnswer]] = defaultdict(list)
    for entry in reversed(recorded):
        unmatched[_key(entry.text)].append(entry)
    matched: list[str] = []
    for number, item in enumerate(test.test, 1):
        candidates = unmatched[_key(item.text)]
        if not candidates:
            raise InputError(f"{file}: no answer for item {number} of {test.name}: {item.text[:60]!r}.", _DATA_HINT)
        answer = candidates.pop()
        if answer.gold is not None and answer.gold != item.label:
            raise InputError(
                f"{file}: line {answer.line} has the label {answer.gold!r}, but {test.name} has {item.label!r}.",
                _DATA_HINT,
            )
        matched.append(answer.answer)
    if leftover := sorted(entry.line for several in unmatched.values() for entry in several):
        raise InputError(f"{file}: line {leftover[0]} answers a text that is not in {test.name}.", _DATA_HINT)
    return matched


def reread(answers: list[str], gold: Sequence[str], labels: Mapping[str, Sequence[str]], task: Task) -> Readings:
    """Read answers under the three rules. Scores are between 0 and 1."""
    first = [first_label_in(answer, labels) for answer in answers]
    correct = [study_right(answer, label) for answer, label in zip(answers, gold, strict=True)]
    by_first = scores(task, gold, first)
    accuracy = sum(correct) / len(correct)
    return Readings(
        answers,
        [label_in(answer, labels) for answer in answers],
        {"first": pl.Series(first, dtype=pl.String), "study": pl.Series(correct, dtype=pl.Boolean)},
        {
            "first_macro_f1": by_first["macro_f1"],
            "first_accuracy": by_first["accuracy"],
            "study_f1": 2 * accuracy / (1 + accuracy),
            "study_accuracy": accuracy,
        },
    )


def study_right(answer: str, gold: str) -> bool:
    """Return whether an answer is right under the study's rule."""
    return "," not in answer and "/" not in answer and gold.lower() in answer.lower()


_DATA_HINT = "Give the --data that the answers are for, in the same version."


def _row(file: Path, line: int, header: Sequence[str], row: Sequence[str]) -> RecordedAnswer:
    if len(row) != len(header):
        raise InputError(f"{file}: line {line} has {len(row)} columns, not {len(header)}.", _FORMAT_HINT)
    values = dict(zip(header, row, strict=True))
    gold = next((values[name] for name in GOLD if name in values), None)
    return RecordedAnswer(line, values[TEXT], gold, replace_surrogates(values.get(ANSWER, row[-1])))


def _key(text: str) -> str:
    """Normalize a text for matching; SIB-200's files have extra spaces within quotes."""
    return " ".join(normalize(text).split())
