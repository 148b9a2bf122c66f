"""The test sets to prompt about, and the examples to show, drawn from training sets."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lrldata.errors import InputError, UsageError
from lrldata.language import Language
from lrltrain.evaluation.items import Task, TaskData
from lrltrain.evaluation.own_labels import labels_of
from lrltrain.evaluation.tasks import OWN_READERS, READERS, find_sets, read_set, split_file


class Example(NamedTuple):
    """A text and its label."""

    text: str
    label: str


@dataclass(frozen=True)
class TestSet:
    """A test set of one language, with the examples that may be shown; `provenance` is what a manifest says of it.

    `own` are its labels, where those of the data were asked for.
    """

    name: str
    language: Language
    test: tuple[Example, ...]
    train: tuple[Example, ...]
    provenance: dict[str, Any]
    own: tuple[str, ...] | None = None


def open_test_sets(
    data: Path, task: Task, language: Language, shots: int, *, own_labels: bool = False
) -> list[TestSet]:
    """Read each test set of a language: `data` is its folder, or a parent as sib200/LANG_Script, sa/LANG_Script/SET.

    The training half is read only where there are shots to draw, or with `own_labels` its labels, where it is there.
    Raises InputError.
    """
    found = find_sets(task, data, language, "test")
    if not found:
        raise InputError(
            f"{data}: holds no {task} test set of {language.name} ({language.sib200 or language.flores}).",
            "Give the folder with its test.tsv, or a parent of LANG_Script folders.",
        )
    readers = OWN_READERS if own_labels else READERS
    sets = []
    for folder in found:
        both = shots or (own_labels and split_file(folder, "train"))
        read = read_set(task, folder, language, ("test", "train") if both else ("test",), readers)
        own = labels_of(task, read.splits, read.provenance["name"]) if own_labels else None
        sets.append(_open(read, language, own))
    return sets


def _open(read: TaskData, language: Language, own: tuple[str, ...] | None) -> TestSet:
    parts = {
        split: tuple(Example(text, str(label)) for text, label in zip(items.texts, items.labels, strict=True))
        for split, items in read.splits.items()
    }
    return TestSet(read.provenance["name"], language, parts["test"], parts.get("train", ()), read.provenance, own)


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
