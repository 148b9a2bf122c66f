"""The data of a task: sentences or words with gold labels, in three splits, from a folder or the Hub. IO.

Topic is SIB-200 (Adelani et al. 2024), seven classes; sentiment is positive or negative; ner has the tags of WikiANN
(Pan et al. 2017). Files are UTF-8, a `train.tsv`, `dev.tsv` and `test.tsv` each, or called as others do (split_file):

    topic       a header index_id, category, text, then a row an item; quotes as in CSV
    sentiment   text TAB label
    ner         token TAB tag, with an empty line between sentences
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from lrldata.encoding import undecodable
from lrldata.errors import InputError, LanguageError, UsageError
from lrldata.language import Language, find
from lrldata.manifest import file_entry
from lrldata.normalize import normalize
from lrldata.output import note
from lrltrain.evaluation.items import LABELS, SPLITS, Items, Task, TaskData, counts
from lrltrain.evaluation.own_labels import labels_of, names_of, read_names, read_texts
from lrltrain.text import label_of

Reader = Callable[[Path], Items]
DEFAULTS: dict[Task, tuple[int, int]] = {"topic": (20, 16), "ner": (25, 8), "sentiment": (25, 8)}  # epochs, batch size
SPLIT_NAMES = {"train": ("train",), "dev": ("dev", "validation", "valid"), "test": ("test",)}
_ENDINGS = (".tsv", ".txt", ".conll")
FOLDERS = {"topic": "sib200", "sentiment": "sa", "ner": "ner"}  # in a folder that holds all tasks
LONGEST_FIELD = 1 << 30  # characters: a limit of the reader of CSV, which else stops at 131,072
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(/[\w.-]+)?")  # and the configuration behind it
_LANG_SCRIPT = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
HEADER = ["index_id", "category", "text"]
HINTS = {
    "topic": "A file of topics has the header index_id, category, text (as SIB-200), and one row an item. One in the "
    "form of MasakhaNEWS needs --labels data.",
    "sentiment": "A file of sentiments has text TAB positive or negative on each line.",
    "ner": "A file of names has token TAB tag on each line, and an empty line between sentences. One in the "
    "form of CoNLL needs --labels data.",
}


def open_task(
    task: Task, data: str | None, language: Language, limit: int | None = None, *, own_labels: bool = False
) -> TaskData:
    """Read what `--data` names: a folder, or an id on the Hub, where None is the paper's set. Raises InputError.

    A folder is the one of the language's files, or holds all: sib200/LANG, sa/LANG/SET, ner/LANG/SET. `limit` draws so
    many items of each split. With `own_labels` the labels are those that the data has, in any form of own_labels.py.
    """
    if data is None or (not Path(data).exists() and _HUB_ID.fullmatch(data) and _may_be_on_hub(data)):
        from lrltrain.evaluation.tasks_on_hub import load_task  # noqa: PLC0415 -- half a second that folders need not wait

        opened = load_task(task, data, language, own_labels=own_labels)
    else:
        opened = _in_folder(task, Path(data), language, own_labels=own_labels)
    if own_labels:
        opened = opened.with_labels(labels_of(task, opened.splits, opened.provenance["name"]))
    for split, items in opened.splits.items():
        if not items.labels:
            raise InputError(f"{opened.provenance['name']}: its split {split} holds no item.", HINTS[task])
    if limit is not None:
        splits = {split: items.sampled(limit) for split, items in opened.splits.items()}
        opened = replace(
            opened, splits=splits, provenance={**opened.provenance, "counts": counts(splits), "sampled": limit}
        )
    return opened


def _may_be_on_hub(data: str) -> bool:
    """Return whether it is an id, and no path of three parts with a slip in it."""
    from lrltrain.evaluation.on_hub import split_id  # noqa: PLC0415 -- half a second that folders need not wait

    return data.count("/") == 1 or split_id(data)[1] is not None


def check_apart(data: str | Path | None, task: Task, languages: Iterable[Language], split: str = "train") -> None:
    """Raise UsageError where a folder of one set is named for several languages: it would be the data of each."""
    codes = list(dict.fromkeys(each.code for each in languages))
    if len(codes) > 1 and data is not None and split_file(Path(data), split):
        raise UsageError(
            f"{data}: is one set, and would be the data of {' and '.join(codes)}.",
            f"Name a folder that holds a folder of each language, as {FOLDERS[task]}/LANG_Script.",
        )


def check_labels(data: TaskData) -> None:
    """Raise InputError where the training items have all the same label, of which nothing can be learned."""
    found = {tag for label in data.splits["train"].labels for tag in ([label] if isinstance(label, str) else label)}
    if len(found) == 1:
        raise InputError(
            f"{data.provenance['name']}: every item of its split train is {found.pop()!r}.",
            "Train on items of two labels or more; with --limit, on more of them.",
        )


def has_task(task: Task, data: str, language: Language) -> bool:
    """Return whether a folder holds the task for the language."""
    return not Path(data).exists() or bool(folders_of(task, Path(data), language))


def find_sets(task: Task, root: Path, language: Language, split: str = "train") -> list[Path]:
    """Return the folders under `root` that hold the task for the language; hidden ones are left out, with a note."""
    found, hidden = _search(task, root, language, split)
    for folder in hidden:
        note(f"note: {folder}: is left out, as other hidden folders and those of archives are.")
    return found


def _in_folder(task: Task, root: Path, language: Language, *, own_labels: bool = False) -> TaskData:
    found = find_sets(task, root, language)
    if not found:
        where = f"{FOLDERS[task]}/{_code(language)}" + ("" if task == "topic" else "/SET")
        raise InputError(
            f"{root}: has no train.tsv, and no {where}/train.tsv, for {task} in {language.name}{_there(root)}.",
            "Name the folder of the language's train.tsv, dev.tsv and test.tsv, or the one that holds all, or leave "
            "--data out to take them from the Hub.",
        )
    if len(found) > 1:
        sets = ", ".join(str(each) for each in found)
        raise InputError(f"{root}: has several sets for {task} in {language.name}: {sets}.", "Name one with --data.")
    try:
        return read_set(task, found[0], language)
    except InputError:
        if not own_labels:
            raise
    return read_set(task, found[0], language, readers=OWN_READERS)


def read_set(
    task: Task,
    folder: Path,
    language: Language,
    wanted: Sequence[str] = SPLITS,
    readers: Mapping[Task, Reader] | None = None,
) -> TaskData:
    """Read splits of one set. It is called as its folder, or, where that is a language's, as the one above."""
    files = [split_file(folder, split) or folder / f"{split}.tsv" for split in wanted]
    for file in files:
        if not file.is_file():
            told = f"{', '.join(f'{split}.tsv' for split in wanted)} are wanted."
            raise InputError(f"{file}: no such file{_there(folder)}.", told)
    read = (readers or READERS)[task]
    splits = {split: read(file) for split, file in zip(wanted, files, strict=True)}
    resolved = folder.resolve()
    called = resolved.parent.name if resolved.name == _code(language) else resolved.name
    name = label_of(called).replace(" ", "_")
    provenance = {"name": name, "files": [file_entry(file, folder) for file in files], "counts": counts(splits)}
    return TaskData(task, language.code, splits, provenance)


def split_file(folder: Path, split: str) -> Path | None:
    """Return the file of a split: train.tsv, or as others call it, as validation.txt or test.conll; None for none."""
    named = (folder / f"{name}{ending}" for name in SPLIT_NAMES[split] for ending in _ENDINGS)
    return next((file for file in named if file.is_file()), None)


def _there(folder: Path) -> str:
    """Say which files and folders are there, as somebody may have called them otherwise."""
    names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    return f" (it has {', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""


def _code(language: Language) -> str:
    return language.sib200 or language.flores or language.code


def folders_of(task: Task, root: Path, language: Language, split: str = "train") -> list[Path]:
    """Return the folders under `root` that hold the task for the language: those with a file of the split."""
    return _search(task, root, language, split)[0]


def _search(task: Task, root: Path, language: Language, split: str) -> tuple[list[Path], list[Path]]:
    """Return the folders under `root` that have a file of the split for the language, and hidden ones beside them."""
    if split_file(root, split):
        _check_language(root, language)
        return [root], []
    code = _code(language)
    hidden: list[Path] = []
    others = dict.fromkeys(each for each in (language.iso639_3, language.code) if each)  # as Masakhane's data/hau
    own = [root] if root.resolve().name == code else []
    for folder in (root / FOLDERS[task] / code, root / code, *own, *(root / name for name in others)):
        if split_file(folder, split):
            return [folder], hidden
        found = sorted(each for each in folder.glob("*/") if split_file(each, split))
        hidden += filter(_is_hidden, found)
        if shown := [each for each in found if not _is_hidden(each)]:
            return shown, hidden
    return [], hidden


def _check_language(folder: Path, language: Language) -> None:
    """Raise UsageError for a folder that is named after another language, or lies in one that is."""
    resolved = folder.resolve()
    for name in (resolved.name, resolved.parent.name):
        try:
            held = find(name).code if _LANG_SCRIPT.fullmatch(name) else language.code
        except LanguageError:
            continue
        own = {language.code, language.iso639_3, *language.aliases}
        if held != language.code and name.split("_")[0] not in own and name != _code(language):
            raise UsageError(
                f"{folder}: is a folder of {held}, not of {language.name} ({language.code}).",
                f"Use --lang {held}, or --data with the folder of the language or the one that holds all.",
            )


def _is_hidden(folder: Path) -> bool:
    """Return whether a folder is of a program, as .ipynb_checkpoints, and not of whoever put the data there."""
    return folder.name.startswith(".") or folder.name == "__MACOSX"


def _topic(file: Path) -> Items:
    rows = list(_unquoted(file))
    if not rows or rows[0][1] != HEADER:
        found = ", ".join(rows[0][1]) if rows else "nothing"
        raise InputError(f"{file}: line 1 has {found}, not {', '.join(HEADER)}.", HINTS["topic"])
    pairs = [(text, label) for _, (_, label, text) in _checked(file, rows[1:], "topic", 3, 1)]
    return _sentences(file, pairs, "topic")


def _sentiment(file: Path) -> Items:
    pairs = [(text, label) for _, (text, label) in _checked(file, _rows(file), "sentiment", 2, 1)]
    return _sentences(file, pairs, "sentiment")


def _sentences(file: Path, pairs: list[tuple[str, str]], task: Task) -> Items:
    if not pairs:
        raise InputError(f"{file}: holds no item.", HINTS[task])
    return Items(tuple(text for text, _ in pairs), tuple(label for _, label in pairs))


def _ner(file: Path) -> Items:
    sentences: list[list[list[str]]] = [[]]
    for _, row in chain(_checked(file, _rows(file), "ner", 2, 1, gaps=True), [(0, [""])]):
        if row == [""]:
            sentences.append([])
        else:
            sentences[-1].append(row)
    return names_of(file, [[(word, tag) for word, tag in sentence] for sentence in sentences])


def _checked(
    file: Path, rows: Iterable[tuple[int, list[str]]], task: Task, columns: int, label: int, *, gaps: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that have their columns and a known label; empty ones are left out, or kept with `gaps`."""
    for number, row in rows:
        if row == [""]:
            if gaps:
                yield number, row
            continue
        if len(row) != columns:
            raise InputError(f"{file}: line {number} has {len(row)} columns, not {columns}.", HINTS[task])
        if row[label] not in LABELS[task]:
            known = ", ".join(LABELS[task])
            hint = f"Known: {known}. --labels data takes those of the data."
            raise InputError(f"{file}: line {number} has the unknown label {row[label]!r}.", hint)
        if not all(row):
            raise InputError(f"{file}: line {number} has an empty column.", HINTS[task])
        yield number, row


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and columns of each line, normalized; a line of spaces is one empty column."""
    try:
        lines = file.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        with file.open("rb") as raw:
            raise undecodable(file, raw) from error
    for number, line in enumerate(lines, 1):
        columns = [normalize(column).replace("\n", " ").strip() for column in line.split("\t")]
        yield number, columns if any(columns) else [""]


def _unquoted(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows as SIB-200 writes them, where a text that holds a quote stands in quotes, its own ones doubled."""
    csv.field_size_limit(LONGEST_FIELD)
    for number, row in _rows(file):
        yield number, next(csv.reader(["\t".join(row)], delimiter="\t")) if row != [""] else row


def _own_texts(file: Path) -> Items:
    return read_texts(file, _rows(file))


def _own_names(file: Path) -> Items:
    return read_names(file, _rows(file))


READERS: dict[Task, Reader] = {"topic": _topic, "sentiment": _sentiment, "ner": _ner}
OWN_READERS: dict[Task, Reader] = {"topic": _own_texts, "sentiment": _own_texts, "ner": _own_names}
