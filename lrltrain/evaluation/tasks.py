"""The data of a task: sentences or words with gold labels, in three splits, from a folder or the Hub. IO.

Topic is SIB-200 (Adelani et al. 2024) with seven classes; sentiment is positive or negative; ner has the tags of
WikiANN (Pan et al. 2017). Files are UTF-8 and named `train.tsv`, `dev.tsv` and `test.tsv`, or as in `split_file`:

    topic       a header index_id, category, text, then a row per item; quoted as in CSV
    sentiment   text TAB label
    ner         token TAB tag, with an empty line between sentences
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from lrldata.encoding import undecodable
from lrldata.errors import InputError, LanguageError, UsageError
from lrldata.language import Language, find
from lrldata.manifest import file_entry
from lrldata.normalize import normalize
from lrldata.output import note
from lrldata.web.tables import unquoted_column
from lrltrain.evaluation.items import LABELS, SPLIT_NAMES, SPLITS, Items, Task, TaskData, counts, is_published
from lrltrain.evaluation.own_labels import labels_of, names_of, read_names, read_texts
from lrltrain.text import label_of

Reader = Callable[[Path], Items]
DEFAULTS: dict[Task, tuple[int, int]] = {"topic": (20, 16), "ner": (25, 8), "sentiment": (25, 8)}  # epochs, batch size
_ENDINGS = (".tsv", ".txt", ".conll")
FOLDERS = {"topic": "sib200", "sentiment": "sa", "ner": "ner"}  # within a folder that holds all tasks
LONGEST_FIELD = 1 << 30  # characters; by default, the CSV reader stops at 131,072
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(/[\w.-]+)?")  # and optionally the configuration after it
_ISO639 = re.compile(r"[a-z]{2,3}")
_LANG_SCRIPT = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_CONTAINER = "data"  # folder with a folder for each language, as Masakhane names it; the set has its parent's name
HEADER = ["index_id", "category", "text"]
HINTS = {
    "topic": "A topic file has the header index_id, category, text (as in SIB-200), and one row per item. A file in "
    "the format of MasakhaNEWS needs --labels data.",
    "sentiment": "A sentiment file has text TAB positive or negative on each line.",
    "ner": "A file for ner has token TAB tag on each line, and an empty line between sentences. A file in the "
    "format of CoNLL needs --labels data.",
}


def open_task(
    task: Task, data: str | None, language: Language, limit: int | None = None, *, own_labels: bool = False
) -> TaskData:
    """Read the data that `--data` names: a folder or an id on the Hub; None is the paper's data set. Raises InputError.

    A folder holds either the files of the language, or all data as sib200/LANG, sa/LANG/SET, ner/LANG/SET. `limit`
    draws that many items of each split. With `own_labels`, labels are those of the data, which may have any format of
    own_labels.py.
    """
    if data is None or is_on_hub(data):
        from lrltrain.evaluation.tasks_on_hub import load_task  # noqa: PLC0415 -- takes half a second; folders do not need it

        opened = load_task(task, data, language, own_labels=own_labels)
    else:
        opened = _in_folder(task, Path(data), language, own_labels=own_labels)
    if own_labels:
        opened = named_apart(opened.with_labels(labels_of(task, opened.splits, opened.provenance["name"])))
    for split, items in opened.splits.items():
        if not items.labels:
            raise InputError(f"{opened.provenance['name']}: its split {split} contains no items.", HINTS[task])
    if limit is not None:
        splits = {split: items.sampled(limit) for split, items in opened.splits.items()}
        opened = replace(
            opened, splits=splits, provenance={**opened.provenance, "counts": counts(splits), "sampled": limit}
        )
    return opened


def is_on_hub(data: str) -> bool:
    """Return whether `--data` names a dataset on the Hub: not a folder, nor a path of three parts with a typo."""
    if Path(data).exists() or not _HUB_ID.fullmatch(data):
        return False
    from lrltrain.evaluation.on_hub import split_id  # noqa: PLC0415 -- takes half a second; folders do not need it

    return data.count("/") == 1 or split_id(data)[1] is not None


def check_apart(data: str | Path | None, task: Task, languages: Iterable[Language], split: str = "train") -> None:
    """Raise UsageError if the folder of a single set is given for several languages: each would read the same data."""
    codes = list(dict.fromkeys(language.code for language in languages))
    if len(codes) > 1 and data is not None and split_file(Path(data), split):
        raise UsageError(
            f"{data}: is a single set, but would be used for each of {' and '.join(codes)}.",
            f"Name a folder that has a subfolder for each language, as in {FOLDERS[task]}/LANG_Script.",
        )


def named_apart(data: TaskData) -> TaskData:
    """Return data of a folder with another name if it has labels of its own but the name of a published set."""
    name = data.provenance["name"]
    if "labels" not in data.provenance or "id" in data.provenance or not is_published(data.task, name):
        return data
    return replace(data, provenance={**data.provenance, "name": f"{name}_own_labels"})


def has_task(task: Task, data: str, language: Language) -> bool:
    """Return whether a folder holds the task for the language."""
    return not Path(data).exists() or bool(folders_of(task, Path(data), language))


def find_sets(task: Task, root: Path, language: Language, split: str = "train") -> list[Path]:
    """Return the folders under `root` that hold the task for the language; hidden ones are skipped, with a note."""
    folders, hidden = _search(task, root, language, split)
    for folder in hidden:
        note(f"note: {folder}: skipped, like all hidden folders and those of archives.")
    return folders


def _in_folder(task: Task, root: Path, language: Language, *, own_labels: bool = False) -> TaskData:
    folders = find_sets(task, root, language)
    if not folders:
        expected = f"{FOLDERS[task]}/{_code(language)}" + ("" if task == "topic" else "/SET")
        raise InputError(
            f"{root}: has no train.tsv, and no {expected}/train.tsv, for {task} in {language.name}{_listing(root)}.",
            "Name the folder of the language's train.tsv, dev.tsv and test.tsv, or the one that holds all, or omit "
            "--data to use the data on the Hub.",
        )
    if len(folders) > 1:
        sets = ", ".join(str(folder) for folder in folders)
        raise InputError(f"{root}: has several sets for {task} in {language.name}: {sets}.", "Name one with --data.")
    try:
        return read_set(task, folders[0], language)
    except InputError:
        if not own_labels:
            raise
    return read_set(task, folders[0], language, readers=OWN_READERS)


def read_set(
    task: Task,
    folder: Path,
    language: Language,
    split_names: Sequence[str] = SPLITS,
    readers: Mapping[Task, Reader] | None = None,
) -> TaskData:
    """Read splits of one set. Its name is that of the folder or, if that is a language's folder, of its parent."""
    files = [split_file(folder, split) or folder / f"{split}.tsv" for split in split_names]
    for file in files:
        if not file.is_file():
            hint = f"{', '.join(f'{split}.tsv' for split in split_names)} are needed."
            raise InputError(f"{file}: no such file{_listing(folder)}.", hint)
    reader = (readers or READERS)[task]
    splits = {split: reader(file) for split, file in zip(split_names, files, strict=True)}
    name = label_of(_name_of(folder.resolve(), language)).replace(" ", "_")
    provenance = {"name": name, "files": [file_entry(file, folder) for file in files], "counts": counts(splits)}
    return TaskData(task, language.code, splits, provenance)


def _name_of(folder: Path, language: Language) -> str:
    """Return the name of a set: its folder's; for a folder named after the language, that of the one around it."""
    if folder.name not in (_code(language), *_other_codes(language)):
        return folder.name
    around = folder.parent
    return around.parent.name if around.name == _CONTAINER and around.parent.name else around.name


def split_file(folder: Path, split: str) -> Path | None:
    """Return the file of a split: train.tsv, or a usual alternative like validation.txt or test.conll; None if none."""
    candidates = (folder / f"{name}{ending}" for name in SPLIT_NAMES[split] for ending in _ENDINGS)
    return next((file for file in candidates if file.is_file()), None)


def _listing(folder: Path) -> str:
    """Return a note of which files and folders exist, in case they have unexpected names."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return f" (it has {', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""


def _code(language: Language) -> str:
    return language.sib200 or language.flores or language.code


def _other_codes(language: Language) -> list[str]:
    """Return other codes after which a folder of the language may be named, such as Masakhane's data/hau, data/swa."""
    aliases = [alias for alias in language.aliases if _ISO639.fullmatch(alias)]
    codes = (language.iso639_3, language.code, language.iso639_2b, *aliases)
    return list(dict.fromkeys(code for code in codes if code))


def folders_of(task: Task, root: Path, language: Language, split: str = "train") -> list[Path]:
    """Return the folders under `root` that hold the task for the language: those with a file of the split."""
    return _search(task, root, language, split)[0]


def _search(task: Task, root: Path, language: Language, split: str) -> tuple[list[Path], list[Path]]:
    """Return the folders under `root` that have a file of the split for the language, and any hidden ones found."""
    if split_file(root, split):
        _check_language(root, language)
        return [root], []
    code = _code(language)
    hidden: list[Path] = []
    root_itself = [root] if root.resolve().name == code else []
    for folder in (
        root / FOLDERS[task] / code,
        root / code,
        *root_itself,
        *(root / name for name in _other_codes(language)),
    ):
        if split_file(folder, split):
            return [folder], hidden
        sets = sorted(path for path in folder.glob("*/") if split_file(path, split))
        hidden += filter(_is_hidden, sets)
        if visible := [path for path in sets if not _is_hidden(path)]:
            return visible, hidden
    return [], hidden


def _check_language(folder: Path, language: Language) -> None:
    """Raise UsageError if a folder or its parent is named after another language."""
    resolved = folder.resolve()
    for name in (resolved.name, resolved.parent.name):
        try:
            code = find(name).code if _LANG_SCRIPT.fullmatch(name) else language.code
        except LanguageError:
            continue
        own_codes = {language.code, language.iso639_3, *language.aliases}
        if code != language.code and name.split("_")[0] not in own_codes and name != _code(language):
            raise UsageError(
                f"{folder}: is a folder of {code}, not of {language.name} ({language.code}).",
                f"Use --lang {code}, or --data with the folder of this language or the one that holds all.",
            )


def _is_hidden(folder: Path) -> bool:
    """Return whether a folder was made by a program, such as .ipynb_checkpoints, rather than by the data's owner."""
    return folder.name.startswith(".") or folder.name == "__MACOSX"


def _topic(file: Path) -> Items:
    rows = list(_unquoted(file))
    if not rows or rows[0][1] != HEADER:
        header = ", ".join(rows[0][1]) if rows else "nothing"
        raise InputError(f"{file}: line 1 has {header}, not {', '.join(HEADER)}.", HINTS["topic"])
    pairs = [(text, label) for _, (_, label, text) in _checked(file, rows[1:], "topic", 3, 1)]
    return _sentences(file, pairs, "topic")


def _sentiment(file: Path) -> Items:
    pairs = [(text, label) for _, (text, label) in _checked(file, _rows(file), "sentiment", 2, 1)]
    texts = unquoted_column([text for text, _ in pairs])
    return _sentences(file, list(zip(texts, (label for _, label in pairs), strict=True)), "sentiment")


def _sentences(file: Path, pairs: list[tuple[str, str]], task: Task) -> Items:
    if not pairs:
        raise InputError(f"{file}: contains no items.", HINTS[task])
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
    """Yield the rows with the right columns and a known label; empty ones are skipped, or kept with `gaps`."""
    for number, row in rows:
        if row == [""]:
            if gaps:
                yield number, row
            continue
        if len(row) != columns:
            raise InputError(f"{file}: line {number} has {len(row)} columns, not {columns}.", HINTS[task])
        if row[label] not in LABELS[task]:
            accepted = ", ".join(LABELS[task])
            hint = f"Known labels: {accepted}. Use --labels data to accept the labels of the data."
            raise InputError(f"{file}: line {number} has the unknown label {row[label]!r}.", hint)
        if not all(row):
            raise InputError(f"{file}: line {number} has an empty column.", HINTS[task])
        yield number, row


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the columns of each line, normalized; a blank line is one empty column."""
    try:
        lines = file.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        with file.open("rb") as raw:
            raise undecodable(file, raw) from error
    for number, line in enumerate(lines, 1):
        columns = [normalize(column).replace("\n", " ").strip() for column in line.split("\t")]
        yield number, columns if any(columns) else [""]


def _unquoted(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows as SIB-200 writes them: a text that contains a quote is quoted, and its own quotes are doubled."""
    csv.field_size_limit(LONGEST_FIELD)
    for number, row in _rows(file):
        yield number, next(csv.reader(["\t".join(row)], delimiter="\t")) if row != [""] else row


def _own_texts(task: Task, file: Path) -> Items:
    return read_texts(task, file, _rows(file))


def _own_tokens(file: Path) -> Items:
    return read_names(file, _rows(file))


READERS: dict[Task, Reader] = {"topic": _topic, "sentiment": _sentiment, "ner": _ner}
OWN_READERS: dict[Task, Reader] = {
    "topic": partial(_own_texts, "topic"),
    "sentiment": partial(_own_texts, "sentiment"),
    "ner": _own_tokens,
}
