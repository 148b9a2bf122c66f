"""Task data from the Hub: SIB-200, WikiANN, and any set of texts with positive and negative labels. IO."""

from functools import partial
from math import isnan
from typing import Any

from lrldata.errors import InputError
from lrldata.language import Language
from lrldata.normalize import normalize
from lrldata.output import note
from lrltrain.evaluation.items import LABELS, PUBLISHED, SPLIT_NAMES, SPLITS, Items, Task, TaskData, counts
from lrltrain.evaluation.on_hub import load_parts, split_id
from lrltrain.evaluation.own_labels import LABEL, TEXT, as_iob, columns_of

COLUMNS = {"topic": ("text", "category"), "sentiment": ("text", "label"), "ner": ("tokens", "ner_tags")}


def load_task(task: Task, identifier: str | None, language: Language, *, own_labels: bool = False) -> TaskData:
    """Load a task's data from the Hub; without an id, the set that the paper used. Raises InputError.

    With `own_labels`, all labels are accepted.
    """
    paper, configuration = {
        "topic": (PUBLISHED["topic"], language.sib200),
        "ner": (PUBLISHED["ner"], language.wikiann),
        "sentiment": (language.sentiment, None),
    }[task]
    is_known = configuration is not None or task == "sentiment"
    set_id = identifier or (paper if is_known else None)
    if set_id is None:
        raise InputError(f"No data for {task} in {language.name} is known on the Hub.", "Give a folder with --data.")
    parts, configuration = load_parts(set_id, configuration, language, "Give a folder of its files with --data FOLDER.")
    splits: dict[str, Items] = {}
    for split in SPLITS:
        source_split = next((name for name in SPLIT_NAMES[split] if name in parts), None)
        if source_split is None:
            raise InputError(f"{set_id}: has no split {split}.", f"It has: {', '.join(parts)}.")
        splits[split] = _items(task, f"{set_id}: split {source_split}", parts[source_split], own_labels=own_labels)
    digests = {split: items.digest for split, items in splits.items()}
    identifier, _ = split_id(set_id)
    name = identifier.rsplit("/", maxsplit=1)[-1]
    provenance = {"name": name, "id": identifier, "configuration": configuration, "counts": counts(splits)}
    return TaskData(task, language.code, splits, provenance | {"sha256": digests})


def _items(task: Task, location: str, rows: Any, *, own_labels: bool) -> Items:
    """Return the items of a split, without those that have a null text, token, label or tag."""
    inputs, labels = COLUMNS[task]
    if own_labels and task != "ner":
        inputs, labels = columns_of(task, rows.column_names, location) or COLUMNS[task]
    for column in (inputs, labels):
        if column not in rows.column_names:
            available = ", ".join(rows.column_names)
            accepted = f"one of {', '.join(TEXT)} and one of {', '.join(LABEL)}"
            needed = accepted if own_labels and task != "ner" else " and ".join(COLUMNS[task])
            alternative = "" if own_labels or task == "ner" else f" With --labels data, it may be {accepted}."
            raise InputError(
                f"{location} has no column {column!r}.", f"It has {available}; {task} needs {needed}.{alternative}"
            )
    names = _names(rows.features[labels])
    label_of = partial(_own_label if own_labels else _label, task, location, names=names)
    pairs = list(zip(rows[inputs], rows[labels], strict=True))
    complete = [(number, pair) for number, pair in enumerate(pairs) if not any(map(_is_null, pair))]
    for column, values in zip((inputs, labels), zip(*pairs, strict=True), strict=False):
        if all(map(_is_null, values)):
            raise InputError(f"{location} has only nulls in its column {column!r}.", "Use other data with --data.")
    if len(complete) < len(pairs):
        skipped = len(pairs) - len(complete)
        note(f"note: {location} has {skipped:,} of {len(pairs):,} items with null in {inputs} or {labels}: skipped.")
    if task != "ner":
        stripped = [(number, _text(location, number, text).strip(), label) for number, (text, label) in complete]
        kept = [item for item in stripped if item[1]]
        gold_of_texts = tuple(label_of(label) for _, _, label in kept)
        return Items(tuple(text for _, text, _ in kept), gold_of_texts, numbers=tuple(number for number, _, _ in kept))
    for number, (tokens, tags) in complete:
        if not (isinstance(tokens, list) and isinstance(tags, list) and len(tokens) == len(tags)):
            raise InputError(
                f"{location}: row {number + 1} does not have as many {labels} as {inputs}.", "Check the dataset."
            )
    sentences = [(number, tokens, tags) for number, (tokens, tags) in complete if tokens]
    words = tuple(tuple(_text(location, number, word) for word in tokens) for number, tokens, _ in sentences)
    gold = tuple(tuple(map(label_of, tags)) for _, _, tags in sentences)
    return Items(tuple(map(" ".join, words)), gold, words, tuple(number for number, _, _ in sentences))


def _is_null(value: Any) -> bool:
    """Return whether a value, or one in a list of them, is null; in a column of floats, NaN stands for null."""
    if isinstance(value, list):
        return any(map(_is_null, value))
    return value is None or (isinstance(value, float) and isnan(value))


def _text(location: str, number: int, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{location}: row {number + 1} has {value!r} instead of a text.", "Check the dataset.")
    return normalize(value)


def _names(feature: Any) -> list[str] | None:
    """Return the label names behind the numbers, from a ClassLabel or a list of them."""
    inner = getattr(feature, "feature", feature)
    return getattr(inner, "names", None)


def _check_single(location: str, value: Any) -> None:
    """Raise InputError if an item has several labels, since each combination would become a class."""
    if isinstance(value, list | dict):
        raise InputError(
            f"{location} has an item with several labels: {value!r:.80}.", "Each item must have one label."
        )


def _own_label(task: Task, location: str, value: Any, names: list[str] | None) -> str:
    _check_single(location, value)
    if isinstance(value, float) and value.is_integer():  # from a column that had nulls
        value = int(value)
    label = names[value] if names and isinstance(value, int) and 0 <= value < len(names) else str(value).strip()
    tag = as_iob(label) if task == "ner" else label
    if not tag or value == -1:
        hint = "Each item must have a label."
        if task == "ner":
            hint = "Tags must be IOB, BIOES or BILOU, or numbers with names."
        raise InputError(f"{location} has the invalid label {value!r}.", hint)
    return tag


def _label(task: Task, location: str, value: Any, names: list[str] | None) -> str:
    _check_single(location, value)
    if isinstance(value, float) and value.is_integer():  # from a column that had nulls
        value = int(value)
    if isinstance(value, int):
        label_names = names or list(LABELS[task])  # without names, 0 is negative and 1 positive, and tags are WikiANN's
        value = label_names[value] if 0 <= value < len(label_names) else value
    label = str(value).lower() if task != "ner" else str(value)
    label = {"pos": "positive", "neg": "negative", "0": "negative", "1": "positive"}.get(label, label)
    if label not in LABELS[task]:
        hint = f"Known labels: {', '.join(LABELS[task])}. Use --labels data to accept the labels of the data."
        raise InputError(f"{location} has the unknown label {value!r}.", hint)
    return label
