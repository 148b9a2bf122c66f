"""Labelled texts to prompt with: SIB-200's files for topic, `text TAB label` for sentiment. IO."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lrldata.errors import InputError, UsageError
from lrldata.languages import Language
from lrldata.manifest import file_entry

LABELS = {
    "topic": ("science/technology", "travel", "politics", "sports", "health", "entertainment", "geography"),
    "sentiment": ("positive", "negative"),
}
LAYOUT = {"topic": "sib200", "sentiment": "sa"}
_HEADER = ["index_id", "category", "text"]


class Example(NamedTuple):
    """A text and its label."""

    text: str
    label: str


@dataclass(frozen=True)
class TestSet:
    """A test set of one language, with the examples that may be shown; `provenance` is what a manifest says of it."""

    name: str
    language: Language
    test: tuple[Example, ...]
    train: tuple[Example, ...]
    provenance: dict[str, Any]


def open_test_sets(data: Path, task: str, language: Language, shots: int) -> list[TestSet]:
    """Read each test set of a language: `data` is its folder, or a parent as sib200/LANG_Script, sa/LANG_Script/SET.

    The training half is read only where there are shots to draw. Raises InputError.
    """
    codes = [code for code in dict.fromkeys((language.sib200, language.flores)) if code]
    places = [data, *(data / code for code in codes), *(data / LAYOUT[task] / code for code in codes)]
    for place in places:
        inside = sorted(place.glob("*/test.tsv")) if place != data or data.name in codes else []
        found = [place] if (place / "test.tsv").is_file() else [path.parent for path in inside]
        if found:
            return [_open(folder, task, language, shots, codes) for folder in found]
    raise InputError(
        f"{data}: holds no {task} test set of {language.name} ({' or '.join(codes) or language.code}).",
        "Give the folder with its test.tsv, or a parent of LANG_Script folders.",
    )


def draw(train: Sequence[Example], test: Sequence[Example], shots: int, seed: int) -> list[Example]:
    """Draw examples, as many of each label as can be, none of them a text of the test set.

    What is drawn depends on seed and texts, not on their order in the file. Raises UsageError.
    """
    tested = {example.text for example in test}
    pools: dict[str, list[Example]] = {}
    for example in sorted(set(train), key=lambda example: _lot(seed, *example)):
        if example.text not in tested:
            pools.setdefault(example.label, []).append(example)
    if shots > sum(map(len, pools.values())):
        raise UsageError(f"--shots {shots}: there are {sum(map(len, pools.values()))} examples to draw from.")
    turns = sorted(pools, key=lambda label: _lot(seed, label))
    drawn: list[Example] = []
    for turn in range(shots):
        drawn += [pools[label][turn] for label in turns if turn < len(pools[label])]
        if len(drawn) >= shots:
            break
    return sorted(drawn[:shots], key=lambda example: _lot(seed, "order", *example))


def _lot(seed: int, *parts: str) -> str:
    return hashlib.sha256("\0".join((str(seed), *parts)).encode()).hexdigest()


def _open(folder: Path, task: str, language: Language, shots: int, codes: Sequence[str]) -> TestSet:
    name = folder.resolve().name
    if name in codes:  # as sib200/uig_Arab: the set is called after the folder of all its languages
        name = folder.resolve().parent.name
    parts = {part: tuple(_rows(folder / f"{part}.tsv", task)) for part in (("test", "train") if shots else ("test",))}
    return TestSet(
        name.replace(" ", "_"),
        language,
        parts["test"],
        parts.get("train", ()),
        {
            "name": name.replace(" ", "_"),
            "files": [file_entry(folder / f"{part}.tsv", folder) for part in parts],
            "counts": {part: len(rows) for part, rows in parts.items()},
        },
    )


def _rows(path: Path, task: str) -> Iterator[Example]:
    """Yield the rows of a file. SIB-200 puts texts in quotes, as CSV does; in sentiment files a quote is a quote."""
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if task == "topic" else csv.QUOTE_NONE
    count = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, delimiter="\t", quoting=quoting, strict=True)
            if task == "topic" and next(rows, None) != _HEADER:
                raise InputError(f"{path}: the header is not {' TAB '.join(_HEADER)}.", "--task topic reads SIB-200.")
            for row in rows:
                text, label = (row[2], row[1]) if task == "topic" and len(row) == 3 else (row[0], row[-1])
                if len(row) != (3 if task == "topic" else 2) or label not in LABELS[task] or not text.strip():
                    raise InputError(
                        f"{path}: line {rows.line_num} is no text with a label of --task {task}.",
                        f"Labels: {', '.join(LABELS[task])}.",
                    )
                yield Example(text.strip(), label)
                count += 1
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.", "--shots draws examples from train.tsv.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not UTF-8 with tabs between columns: {error}.") from error
    if not count:
        raise InputError(f"{path}: holds no text.")
