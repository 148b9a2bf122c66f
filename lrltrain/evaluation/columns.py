"""Items from columns of texts or tokens and of labels: datasets on the Hub, and tables in files."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan
from typing import Any

from lrldata.errors import InputError
from lrldata.normalize import normalize
from lrldata.output import note
from lrltrain.evaluation.items import LABELS, Items, Task
from lrltrain.evaluation.own_labels import LABEL, TEXT, as_iob, columns_of

COLUMNS = {"topic": ("text", "category"), "sentiment": ("text", "label"), "ner": ("tokens", "ner_tags")}
_LISTS = "A CSV file cannot hold lists: use .jsonl or .parquet, or a .tsv file with a token and a tag on each line."
_SHORT_FORMS = {"pos": "positive", "neg": "negative", "0": "negative", "1": "positive"}


@dataclass(frozen=True)
class Table:
    """Named columns with one value per row. `place` names the table and `row` one of its rows, for messages.

    `names_of` returns the names behind the numbers of a column of labels, or None if it has none.
    """

    place: str
    names: Sequence[str]
    column: Callable[[str], Iterable[Any]]
    row: Callable[[int], str] = lambda number: f"row {number + 1:,}"
    names_of: Callable[[str], list[str] | None] = lambda _: None


def items_of(task: Task, table: Table, *, own_labels: bool) -> Items:
    """Return the items of a table, without those that have a null text, token, label or tag. Raises InputError.

    With `own_labels`, all labels are accepted, and columns may have any of the names in own_labels.py.
    """
    inputs, labels = _choose(task, table, own_labels=own_labels)
    label_of = partial(_own_label if own_labels else _label, task, names=table.names_of(labels))
    pairs = list(zip(table.column(inputs), table.column(labels), strict=True))
    complete = [(number, pair) for number, pair in enumerate(pairs) if not any(map(_is_null, pair))]
    for column, values in zip((inputs, labels), zip(*pairs, strict=True), strict=False):
        if all(not isinstance(value, list) and _is_null(value) for value in values):
            raise InputError(f"{table.place} has only nulls in its column {column!r}.", "Use other data with --data.")
    if pairs and not complete:
        raise InputError(
            f"{table.place}: every item has a null in {inputs} or {labels}.", "Use other data with --data."
        )
    if len(complete) < len(pairs):
        skipped = f"{len(pairs) - len(complete):,} of {len(pairs):,} items"
        note(f"{table.place} has {skipped} with null in {inputs} or {labels}: skipped.")

    def where(number: int) -> str:
        return f"{table.place}: {table.row(number)}"

    if task != "ner":
        stripped = [(number, _text(where(number), text).strip(), label) for number, (text, label) in complete]
        kept = [item for item in stripped if item[1]]
        gold_of_texts = tuple(label_of(where(number), _single(where(number), label)) for number, _, label in kept)
        return Items(tuple(text for _, text, _ in kept), gold_of_texts, numbers=tuple(number for number, _, _ in kept))
    for number, (tokens, tags) in complete:
        if isinstance(tokens, str):
            raise InputError(f"{where(number)} has a text in {inputs} instead of a list of tokens.", _LISTS)
        if not (isinstance(tokens, list) and isinstance(tags, list) and len(tokens) == len(tags)):
            raise InputError(f"{where(number)} does not have as many {labels} as {inputs}.", "Check the data.")
    sentences = [(number, tokens, tags) for number, (tokens, tags) in complete if tokens]
    words = tuple(tuple(_text(where(number), word) for word in tokens) for number, tokens, _ in sentences)
    gold = tuple(
        tuple(label_of(where(number), _single(where(number), tag)) for tag in tags) for number, _, tags in sentences
    )
    return Items(tuple(map(" ".join, words)), gold, words, tuple(number for number, _, _ in sentences))


def _choose(task: Task, table: Table, *, own_labels: bool) -> tuple[str, str]:
    """Return the names of the columns of inputs and of labels. Raises InputError if the table lacks one."""
    inputs, labels = COLUMNS[task]
    accepted = f"one of {', '.join(TEXT)} and one of {', '.join(LABEL)}"
    if own_labels and task != "ner":
        known = columns_of(task, table.names, table.place)
        if known is None:
            hint = f"It has {', '.join(table.names)}; {task} needs {accepted}."
            raise InputError(f"{table.place} lacks a column with texts or one with labels.", hint)
        return known
    for column in (inputs, labels):
        if column not in table.names:
            alternative = "" if task == "ner" else f" With --labels data, it may be {accepted}."
            hint = f"It has {', '.join(table.names)}; {task} needs {' and '.join(COLUMNS[task])}.{alternative}"
            raise InputError(f"{table.place} has no column {column!r}.", hint)
    return inputs, labels


def _is_null(value: Any) -> bool:
    """Return whether a value, or one in a list of them, is null; in a column of floats, NaN stands for null."""
    if isinstance(value, list):
        return any(map(_is_null, value))
    return value is None or (isinstance(value, float) and isnan(value))


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} has {value!r} instead of a text.", "Check the data.")
    return normalize(value)


def _single(where: str, value: Any) -> Any:
    """Return the label of an item, also from a list of one; a combination of several would become a class."""
    if isinstance(value, list) and len(value) == 1:
        return _single(where, value[0])
    if isinstance(value, list | dict):
        count = "several labels" if value else "no label"
        raise InputError(f"{where} has {count}: {value!r:.80}.", "Each item must have one label.")
    is_whole = isinstance(value, float) and value.is_integer()  # from a column that had nulls, or from JSON
    return int(value) if is_whole else value


def _own_label(task: Task, where: str, value: Any, names: list[str] | None) -> str:
    label = names[value] if names and isinstance(value, int) and 0 <= value < len(names) else str(value).strip()
    tag = as_iob(label) if task == "ner" else label
    if not tag or value == -1:
        hint = "Each item must have a label."
        if task == "ner":
            hint = "Tags must be IOB, BIOES or BILOU, or numbers with names."
        raise InputError(f"{where} has the invalid label {value!r}.", hint)
    return tag


def _label(task: Task, where: str, value: Any, names: list[str] | None) -> str:
    label = value
    if isinstance(value, int):
        # Without names, 0 is negative and 1 positive, and tags are WikiANN's; topics have no common order.
        label_names = names or (() if task == "topic" else LABELS[task])
        label = label_names[value] if 0 <= value < len(label_names) else value
    label = str(label).strip() if task == "ner" else str(label).strip().lower()
    if task == "sentiment":
        label = _SHORT_FORMS.get(label, label)
    if label not in LABELS[task]:
        hint = f"Known labels: {', '.join(LABELS[task])}. Use --labels data to accept the labels of the data."
        raise InputError(f"{where} has the unknown label {value!r}.", hint)
    return label


def class_names(feature: Any) -> list[str] | None:
    """Return the names behind the numbers of a feature of `datasets`: a ClassLabel, or a list of them."""
    inner = getattr(feature, "feature", feature)
    return getattr(inner, "names", None)
