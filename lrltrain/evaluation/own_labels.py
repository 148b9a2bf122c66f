"""Task data with labels of its own, in the forms in which it is published: MasakhaNER, CoNLL, MasakhaNEWS, AfriSenti.

Texts have a first line of names, among them one of TEXT and one of LABEL, or two columns; names are a token and a tag a
line, the first and the last column, by tabs or spaces.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lrldata.errors import InputError
from lrldata.output import note
from lrldata.web.tables import unquoted
from lrltrain.evaluation.items import LABELS, Items, Task

TEXT = ("text", "sentence", "tweet", "review", "content")
LABEL = ("label", "category", "topic", "sentiment", "class")
_TAG = re.compile(r"O|([BIESLU])-(\S+)")
_AS_IOB = {"S": "B", "U": "B", "E": "I", "L": "I"}  # tags that end an entity, or are all of one
_BLANKS = re.compile(r"[ \t]+")
_SEVERAL = re.compile(r"[,;|]")  # between labels of one item
_DOCUMENT = "-DOCSTART-"  # the line of CoNLL 2003 where a document begins
_PREFIX = re.compile(r"([a-z]{2,3}(?:-[a-z]+)?):.")  # of each token, as WikiANN was published
_FEWEST = 30  # labels that any data may have
_FEW = 10  # lines, of which a label may be there once
_SHOWN = 20  # labels that are shown
_NAMES = "The first line names the columns: one of them text, another label."
_TOKENS = "A file of names has a token and a tag on each line, and an empty line between sentences."

Rows = Iterable[tuple[int, list[str]]]


def columns_of(names: Iterable[str]) -> tuple[str, str] | None:
    """Return the columns of text and label among these, as they are written; None where one is missing."""
    written = {name.strip().lower(): name for name in reversed(list(names))}
    text, label = (next((written[name] for name in known if name in written), None) for known in (TEXT, LABEL))
    return (text, label) if text is not None and label is not None else None


def labels_of(task: Task, splits: Mapping[str, Items], name: str) -> tuple[str, ...]:
    """Return the labels of data, in a fixed order: those of the task if it has no others, and says which it has."""
    given = Counter(tag for items in splits.values() for label in items.labels for tag in _tags(label))
    if given.keys() <= set(LABELS[task]):
        return LABELS[task]
    shown = ", ".join(f"{label} {count:,}" for label, count in given.most_common(_SHOWN))
    note(f"note: {name}: labels of its own: {shown}{', ...' if len(given) > _SHOWN else ''}.")
    if task != "ner":
        joint = [label for label in given if _SEVERAL.search(label) and given.keys() >= _parts(label)]
        if joint:
            note(f"note: {name}: items have one label each: {joint[0]!r} is taken for a label of its own.")
        return tuple(sorted(given))
    types = sorted({tag[2:] for tag in given if tag != "O"})
    return ("O", *(f"{begins}-{kind}" for kind in types for begins in "BI"))


def _parts(label: str) -> set[str]:
    return {part.strip() for part in _SEVERAL.split(label)}


def as_iob(tag: str) -> str | None:
    """Return a tag of IOB, BIOES or BILOU as one of IOB; None for what is none of these."""
    found = _TAG.fullmatch(tag)
    if found is None:
        return None
    return f"{_AS_IOB.get(found[1], found[1])}-{found[2]}" if found[1] else tag


def read_texts(file: Path, rows: Rows) -> Items:
    """Read texts with their labels. Raises InputError."""
    filled = [(number, list(map(unquoted, row))) for number, row in rows if row != [""]]
    if not filled:
        raise InputError(f"{file}: holds no item.", _NAMES)
    first = filled[0][1]
    named = columns_of(first)
    if named is None and (len(first) != 2 or any(name.strip().lower() in (*TEXT, *LABEL) for name in first)):
        raise InputError(f"{file}: line {filled[0][0]} names no text and label: {', '.join(first)}.", _NAMES)
    at = (first.index(named[0]), first.index(named[1])) if named else (0, 1)
    pairs = []
    for number, row in filled[1:] if named else filled:
        if len(row) != len(first) or not (row[at[0]] and row[at[1]]):
            told = f"{file}: line {number} has {len(row)} columns, not {len(first)}, or one of text or label is empty."
            raise InputError(told, _NAMES)
        pairs.append((row[at[0]], row[at[1]]))
    if not pairs:
        raise InputError(f"{file}: holds no item.", _NAMES)
    kinds = len({label for _, label in pairs})
    if kinds > max(_FEWEST, len(pairs) // 2):
        raise InputError(f"{file}: has {kinds:,} labels of {len(pairs):,} items: are they texts?", _NAMES)
    if named is None and len(filled) > _FEW and all(row[1:] != first[1:] for _, row in filled[1:]):
        told = (
            f"{file}: line {filled[0][0]}, {' | '.join(first)[:80]}, has a label of no other line: is it one of names?"
        )
        raise InputError(told, f"{_NAMES} Where it is an item, put that line above it.")
    return Items(tuple(text for text, _ in pairs), tuple(label for _, label in pairs))


def read_names(file: Path, rows: Rows) -> Items:
    """Read tokens with their tags. Raises InputError."""
    return names_of(file, _sentences(file, rows))


def names_of(file: Path, sentences: Iterable[Sequence[tuple[str, str]]]) -> Items:
    """Return sentences of tokens and tags as items, without what is of the file's form. Raises InputError.

    That is the line of CoNLL 2003 where a document begins, and the language before each token of WikiANN, as `yo:`.
    """
    kept = [list(each) for each in sentences if each and each[0][0] != _DOCUMENT]
    if not kept:
        raise InputError(f"{file}: holds no item.", _TOKENS)
    if all(word.isdecimal() for each in kept for word, _ in each):
        raise InputError(f"{file}: its first column is of numbers, and not of tokens.", _TOKENS)
    prefixes = {found[1] if (found := _PREFIX.match(word)) else "" for each in kept for word, _ in each}
    if len(prefixes) == 1 and (prefix := prefixes.pop()):
        note(f"note: {file}: every token begins with {prefix}:, which is left out.")
        kept = [[(word.removeprefix(f"{prefix}:"), tag) for word, tag in each] for each in kept]
    words = tuple(tuple(word for word, _ in each) for each in kept)
    return Items(tuple(map(" ".join, words)), tuple(tuple(tag for _, tag in each) for each in kept), words)


def _sentences(file: Path, rows: Rows) -> Iterator[list[tuple[str, str]]]:
    sentence: list[tuple[str, str]] = []
    for number, row in rows:
        cells = row if len(row) > 1 else _BLANKS.split(row[0])  # other spaces may be within a token
        if cells == [""]:
            yield sentence
            sentence = []
            continue
        if len(row) == 1 and cells[0] == "#" and not sentence and (len(cells) != 2 or as_iob(cells[1]) is None):
            continue  # a comment above a sentence, as CoNLL-U has them
        tag = as_iob(cells[-1]) if len(cells) > 1 else None
        if tag is None or not cells[0]:
            raise InputError(f"{file}: line {number} has no token and tag: {' '.join(cells)[:60]!r}.", _TOKENS)
        sentence.append((cells[0], tag))
    yield sentence


def _tags(label: str | tuple[str, ...]) -> Iterable[str]:
    return (label,) if isinstance(label, str) else label
