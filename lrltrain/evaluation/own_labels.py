"""Task data with its own labels, in commonly published formats: MasakhaNER, CoNLL, MasakhaNEWS, AfriSenti.

A file of texts has a header whose column names include one of TEXT and one of LABEL, or else it has two columns. If
several columns may be the label, the one named like the task is used, then `label`. A file of named entities has a
token and a tag on each line: the first and the last column, separated by tabs or spaces.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lrldata.errors import InputError
from lrldata.output import note
from lrldata.web.tables import unquoted, unquoted_column
from lrltrain.evaluation.items import LABELS, Items, Task, TaskData

TEXT = ("text", "sentence", "tweet", "review", "content")
LABEL = ("label", "category", "topic", "sentiment", "class")
_NAMED_LIKE_TASK = {"topic": ("topic", "category"), "sentiment": ("sentiment",)}  # before the others
_TAG = re.compile(r"O|([BIESLU])-(\S+)")
_AS_IOB = {"S": "B", "U": "B", "E": "I", "L": "I"}  # tags that end an entity, or are a whole one
_BLANKS = re.compile(r"[ \t]+")
_SEVERAL = re.compile(r"[,;|]")  # separates several labels of one item
_DOCUMENT = "-DOCSTART-"  # the line that begins a document in CoNLL 2003
_NUMBER = re.compile(r"\d+([-.]\d+)?")  # of a token in CoNLL-U: 1, or 2-3 and 2.1 for parts and additions
_PREFIX = re.compile(r"([a-z]{2,3}(?:-[a-z]+)?):.")  # the language before each token, as in the published WikiANN
_ALWAYS_ACCEPTED = 30  # labels that are accepted whatever the number of items
_SHORT_FILE = 10  # lines; in a longer file, a first line whose label is unique is not read as an item
_SHOWN = 20  # labels listed in a note
_HEADER_HINT = "The first line must name the columns, among them a text and a label column."
_TOKENS_HINT = "A file for ner has a token and a tag on each line, and an empty line between sentences."

Rows = Iterable[tuple[int, list[str]]]


def columns_of(task: Task, names: Iterable[str], place: str) -> tuple[str, str] | None:
    """Return the text column and the label column among these, as they are written; None if either is missing.

    If several may be the label, prints a note that names the one used, with the place of the data.
    """
    written = {name.strip().lower(): name for name in reversed(list(names))}
    texts = [written[name] for name in TEXT if name in written]
    labels = [written[name] for name in dict.fromkeys((*_NAMED_LIKE_TASK[task], *LABEL)) if name in written]
    if not (texts and labels):
        return None
    if len(labels) > 1:
        note(f"{place}: the label is the column {labels[0]!r}, not {' or '.join(map(repr, labels[1:]))}.")
    return texts[0], labels[0]


def labels_of(task: Task, splits: Mapping[str, Items], name: str) -> tuple[str, ...]:
    """Return the labels of the data in a fixed order: the task's if it has no others, else its own, with a note."""
    tag_counts = Counter(tag for items in splits.values() for label in items.labels for tag in _tags(label))
    if tag_counts.keys() <= set(LABELS[task]):
        return LABELS[task]
    listed = ", ".join(f"{label} {count:,}" for label, count in tag_counts.most_common(_SHOWN))
    note(f"{name}: uses its own labels: {listed}{', ...' if len(tag_counts) > _SHOWN else ''}.")
    if task != "ner":
        joint = [label for label in tag_counts if _SEVERAL.search(label) and tag_counts.keys() >= _parts(label)]
        if joint:
            note(f"{name}: each item has one label, so {joint[0]!r} is read as a single label.")
        return tuple(sorted(tag_counts))
    types = sorted({tag[2:] for tag in tag_counts if tag != "O"})
    return ("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def check_labels(data: TaskData, tested_on: TaskData) -> None:
    """Raise InputError if nothing can be learned from the labels of the splits, or nothing measured.

    Prints a note with the labels of a split that do not occur in the training data, so are never predicted. Small
    samples (--limit) of dev and test may lack labels, and are not refused for that.
    """
    name, learned = data.provenance["name"], data.splits["train"].label_set
    if len(learned) == 1:
        raise InputError(
            f"{name}: every item of its split train is {learned.pop()!r}.",
            "Use training data with at least two labels, or a higher --limit.",
        )
    for owner, split in ((data, "dev"), (tested_on, "test")):
        labels, place = owner.splits[split].label_set, f"{owner.provenance['name']}: its split {split}"
        is_sample = "sampled" in owner.provenance
        if labels == {"O"}:
            if not is_sample:
                raise InputError(f"{place} has no entities.", "Use data with entities in it.")
            note(f"{place} has no entities in this sample (--limit).")
        if unknown := sorted(labels - learned):
            is_disjoint = labels - {"O"} <= set(unknown)
            listed = ", ".join(map(repr, unknown))
            if is_disjoint and not is_sample:
                message = f"{place} has no label of the training data: {listed}."
                raise InputError(message, f"The training data has {', '.join(map(repr, sorted(learned)))}.")
            note(f"{place} has labels that the training data lacks, so they are never predicted: {listed}.")


def _parts(label: str) -> set[str]:
    return {part.strip() for part in _SEVERAL.split(label)}


def as_iob(tag: str) -> str | None:
    """Return a tag of IOB, BIOES or BILOU as one of IOB, or None if it is none of these."""
    match = _TAG.fullmatch(tag)
    if match is None:
        return None
    return f"{_AS_IOB.get(match[1], match[1])}-{match[2]}" if match[1] else tag


def read_texts(task: Task, file: Path, rows: Rows) -> Items:
    """Read texts with their labels. Raises InputError."""
    filled = [(number, row) for number, row in rows if row != [""]]
    if not filled:
        raise InputError(f"{file}: contains no items.", _HEADER_HINT)
    first = list(map(unquoted, filled[0][1]))
    columns = columns_of(task, first, str(file))
    if columns is None and (len(first) != 2 or any(name.strip().lower() in (*TEXT, *LABEL) for name in first)):
        raise InputError(
            f"{file}: line {filled[0][0]} does not name a text and a label column: {', '.join(first)}.", _HEADER_HINT
        )
    indices = (first.index(columns[0]), first.index(columns[1])) if columns else (0, 1)
    pairs = []
    for number, row in filled[1:] if columns else filled:
        if len(row) != len(first):
            raise InputError(f"{file}: line {number} has {len(row)} columns, not {len(first)}.", _HEADER_HINT)
        if not all(unquoted(row[index]) for index in indices):
            raise InputError(f"{file}: line {number} has an empty text or label.", "Remove the line, or fill it in.")
        pairs.append((row[indices[0]], unquoted(row[indices[1]])))
    if not pairs:
        raise InputError(f"{file}: contains no items.", _HEADER_HINT)
    label_count = len({label for _, label in pairs})
    if label_count > max(_ALWAYS_ACCEPTED, len(pairs) // 2):
        raise InputError(
            f"{file}: has {label_count:,} different labels in {len(pairs):,} items. Are these texts?", _HEADER_HINT
        )
    if columns is None and len(filled) > _SHORT_FILE and all(label != first[1] for _, label in pairs[1:]):
        message = f"{file}: line {filled[0][0]}, {' | '.join(first)[:80]}, has a unique label. Is it a header?"
        raise InputError(message, f"{_HEADER_HINT} If it is an item, add a header above it.")
    return Items(tuple(unquoted_column([text for text, _ in pairs])), tuple(label for _, label in pairs))


def read_names(file: Path, rows: Rows) -> Items:
    """Read tokens with their tags. Raises InputError."""
    return names_of(file, _sentences(file, rows))


def names_of(file: Path, sentences: Iterable[Sequence[tuple[str, str]]]) -> Items:
    """Return sentences of tokens and tags as items, without artifacts of the file format. Raises InputError.

    These are the line that begins a document in CoNLL 2003, the quoting of spreadsheets, and the language before each
    token in WikiANN, as in `yo:`.
    """
    read = [[pair for pair in sentence if pair[0] != _DOCUMENT] for sentence in sentences]
    plain = iter(unquoted_column([word for sentence in read for word, _ in sentence]))
    kept = [[(next(plain), tag) for _, tag in sentence] for sentence in read if sentence]
    if not kept:
        raise InputError(f"{file}: contains no items.", _TOKENS_HINT)
    if all(_NUMBER.fullmatch(word) for sentence in kept for word, _ in sentence):
        raise InputError(f"{file}: its first column holds numbers instead of tokens.", _TOKENS_HINT)
    prefixes = {match[1] if (match := _PREFIX.match(word)) else "" for sentence in kept for word, _ in sentence}
    if len(prefixes) == 1 and (prefix := prefixes.pop()):
        note(f"{file}: every token begins with {prefix}:, which is removed.")
        kept = [[(word.removeprefix(f"{prefix}:"), tag) for word, tag in sentence] for sentence in kept]
    words = tuple(tuple(word for word, _ in sentence) for sentence in kept)
    return Items(tuple(map(" ".join, words)), tuple(tuple(tag for _, tag in sentence) for sentence in kept), words)


def _sentences(file: Path, rows: Rows) -> Iterator[list[tuple[str, str]]]:
    # Other kinds of spaces may be part of a token.
    lines = [(number, row if len(row) > 1 else _BLANKS.split(row[0]), len(row) == 1) for number, row in rows]
    widths = Counter(len(cells) for _, cells, _ in lines if cells[0] not in ("", "#"))
    width = widths.most_common(1)[0][0] if widths else 2
    sentence: list[tuple[str, str]] = []
    for number, cells, has_no_tabs in lines:
        if cells == [""]:
            yield sentence
            sentence = []
            continue
        tag = as_iob(cells[-1]) if len(cells) > 1 else None
        if has_no_tabs and cells[0] == "#" and not sentence and (tag is None or len(cells) != width):
            continue  # a comment above a sentence, as in CoNLL-U
        if tag is None or not cells[0]:
            raise InputError(f"{file}: line {number} has no token and tag: {' '.join(cells)[:60]!r}.", _TOKENS_HINT)
        # A space within a token would cut off the part after it.
        if has_no_tabs and len(cells) > width and cells[0] != _DOCUMENT:
            message = f"{file}: line {number} has {len(cells)} columns, and most lines have {width}"
            raise InputError(f"{message}: {' '.join(cells)[:60]!r}.", f"{_TOKENS_HINT} Separate columns by tabs.")
        sentence.append((cells[0], tag))
    yield sentence


def _tags(label: str | tuple[str, ...]) -> Iterable[str]:
    return (label,) if isinstance(label, str) else label
