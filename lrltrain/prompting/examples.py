"""The test sets for prompting, and the examples shown in prompts, which are sampled from training sets."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from lrldata.errors import InputError, UsageError
from lrldata.language import Language
from lrltrain.evaluation.items import LABELS, Task, TaskData
from lrltrain.evaluation.own_labels import labels_of
from lrltrain.evaluation.tasks import (
    find_sets,
    folder_code,
    is_on_hub,
    named_apart,
    open_task,
    read_set,
    split_file,
)


class Example(NamedTuple):
    """A text and its label."""

    text: str
    label: str


@dataclass(frozen=True)
class TestSet:
    """A test set of one language, with the training examples that may be shown in prompts.

    `provenance` is the description of the data for manifests. `own` holds the data's own labels if they were requested.
    `numbers` are the numbers of the test items in their file or split, if these are not all of it.
    """

    name: str
    language: Language
    test: tuple[Example, ...]
    train: tuple[Example, ...]
    provenance: dict[str, Any]
    own: tuple[str, ...] | None = None
    numbers: tuple[int, ...] | None = None


def open_test_sets(
    data: str | None, task: Task, language: Language, shots: int, *, own_labels: bool = False
) -> list[TestSet]:
    """Read each test set of a language. `data` is its folder or a parent, as in sib200/LANG_Script, sa/LANG_Script/SET.

    It may also be an id on the Hub; None is the paper's data set. In a folder, the training split is read only if there
    are shots to sample, or for its labels if `own_labels` is set and the split exists. Raises InputError.
    """
    if data is None or is_on_hub(data):
        task_data = open_task(task, data, language, own_labels=own_labels)
        return [_open(task_data, language, task_data.labels if own_labels else None)]
    folders = find_sets(task, Path(data), language, "test")
    if not folders:
        raise InputError(
            f"{data}: no {task} test set of {language.name} ({folder_code(language)}).",
            "Give the folder with its test.tsv, or the parent of LANG_Script folders.",
        )
    sets = []
    for folder in folders:
        with_train = shots or (own_labels and split_file(folder, "train"))
        split_names = ("test", "train") if with_train else ("test",)
        task_data = read_set(task, folder, language, split_names, own_labels=own_labels)
        labels = labels_of(task, task_data.splits, task_data.provenance["name"]) if own_labels else None
        if labels is not None:
            name = named_apart(task_data.with_labels(labels)).provenance["name"]
            task_data = replace(task_data, provenance=task_data.provenance | {"name": name})
        sets.append(_open(task_data, language, labels))
    return sets


def _open(task_data: TaskData, language: Language, own: tuple[str, ...] | None) -> TestSet:
    parts = {
        split: tuple(Example(text, str(label)) for text, label in zip(items.texts, items.labels, strict=True))
        for split, items in task_data.splits.items()
    }
    if own == LABELS[task_data.task]:  # those that do not occur are no possible answers
        present = {example.label for examples in parts.values() for example in examples}
        own = tuple(label for label in own if label in present)
    name, numbers = task_data.provenance["name"], task_data.splits["test"].numbers
    return TestSet(name, language, parts["test"], parts.get("train", ()), task_data.provenance, own, numbers)


def draw(train: Sequence[Example], test: Sequence[Example], shots: int, seed: int) -> list[Example]:
    """Sample `shots` examples, balanced over the labels as far as possible. Texts of the test set are excluded.

    The sample depends on the seed and the texts, not on their order. Raises UsageError if there are too few.
    """
    test_texts = {example.text for example in test}
    pools: dict[str, list[Example]] = {}
    for example in sorted(set(train), key=lambda example: _sort_key(seed, *example)):
        if example.text not in test_texts:
            pools.setdefault(example.label, []).append(example)
    if shots > sum(map(len, pools.values())):
        raise UsageError(f"--shots {shots}: there are {sum(map(len, pools.values()))} examples to choose from.")
    labels = sorted(pools, key=lambda label: _sort_key(seed, label))
    examples: list[Example] = []
    for round_number in range(shots):
        examples += [pools[label][round_number] for label in labels if round_number < len(pools[label])]
        if len(examples) >= shots:
            break
    return sorted(examples[:shots], key=lambda example: _sort_key(seed, "order", *example))


def _sort_key(seed: int, *parts: str) -> str:
    return hashlib.sha256("\0".join((str(seed), *parts)).encode()).hexdigest()
