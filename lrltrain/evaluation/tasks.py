"""The data of a task: sentences or words with gold labels, in three splits, from a folder or the Hub. IO.

Topic is SIB-200 (Adelani et al. 2024) with seven classes; sentiment is positive or negative; ner has the tags of
WikiANN (Pan et al. 2017). Files are named `train.tsv`, `dev.tsv` and `test.tsv`, or as in `split_file`; task_files.py
reads them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from lrldata.errors import InputError, LanguageError, UsageError
from lrldata.language import Language, find
from lrldata.manifest import file_entry
from lrldata.output import note
from lrltrain.evaluation.items import SPLIT_NAMES, SPLITS, Task, TaskData, counts, is_published
from lrltrain.evaluation.own_labels import labels_of
from lrltrain.evaluation.task_files import HINTS, LINES, TABLES, read_items
from lrltrain.text import label_of

DEFAULTS: dict[Task, tuple[int, int]] = {"topic": (20, 16), "ner": (25, 8), "sentiment": (25, 8)}  # epochs, batch size
FOLDERS = {"topic": "sib200", "sentiment": "sa", "ner": "ner"}  # within a folder that holds all tasks
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(/[\w.-]+)?")  # and optionally the configuration after it
_ISO639 = re.compile(r"[a-z]{2,3}")
_LANG_SCRIPT = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_CONTAINER = "data"  # folder with a folder for each language, as Masakhane names it; the set has its parent's name


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
        note(f"{folder}: skipped, like all hidden folders and those of archives.")
    return folders


def _in_folder(task: Task, root: Path, language: Language, *, own_labels: bool = False) -> TaskData:
    folders = find_sets(task, root, language)
    if not folders:
        expected = f"{FOLDERS[task]}/{folder_code(language)}" + ("" if task == "topic" else "/SET")
        raise InputError(
            f"{root}: has no train.tsv, and no {expected}/train.tsv, for {task} in {language.name}{_listing(root)}.",
            "Name the folder of the language's train.tsv, dev.tsv and test.tsv, or the one that holds all, or omit "
            "--data to use the data on the Hub.",
        )
    if len(folders) > 1:
        sets = ", ".join(str(folder) for folder in folders)
        raise InputError(f"{root}: has several sets for {task} in {language.name}: {sets}.", "Name one with --data.")
    is_table = getattr(split_file(folders[0], "train"), "suffix", "") in TABLES  # numbers would be labels of the task
    if not (own_labels and is_table):
        try:
            return read_set(task, folders[0], language)
        except InputError:
            if not own_labels:
                raise
    return read_set(task, folders[0], language, own_labels=True)


def read_set(
    task: Task, folder: Path, language: Language, split_names: Sequence[str] = SPLITS, *, own_labels: bool = False
) -> TaskData:
    """Read splits of one set. Its name is that of the folder or, if that is a language's folder, of its parent."""
    files = [split_file(folder, split) or folder / f"{split}.tsv" for split in split_names]
    for file in files:
        if not file.is_file():
            hint = f"{', '.join(f'{split}.tsv' for split in split_names)} are needed."
            raise InputError(f"{file}: no such file{_listing(folder)}.", hint)
    for split, file in zip(split_names, files, strict=True):
        if ignored := [path.name for path in _files_of(folder, split, (*LINES, *TABLES)) if path != file]:
            note(f"{file}: is read, and not {' or '.join(ignored)}.")
    splits = {
        split: read_items(task, file, own_labels=own_labels) for split, file in zip(split_names, files, strict=True)
    }
    name = label_of(_name_of(folder.resolve(), language)).replace(" ", "_")
    provenance = {"name": name, "files": [file_entry(file, folder) for file in files], "counts": counts(splits)}
    return TaskData(task, language.code, splits, provenance)


def _name_of(folder: Path, language: Language) -> str:
    """Return the name of a set: its folder's; for a folder named after the language, that of the one around it."""
    if folder.name not in (folder_code(language), *_other_codes(language)):
        return folder.name
    around = folder.parent
    return around.parent.name if around.name == _CONTAINER and around.parent.name else around.name


def split_file(folder: Path, split: str) -> Path | None:
    """Return the file of a split: train.tsv, or a usual alternative such as validation.jsonl; None if there is none."""
    as_lines, as_tables = (_files_of(folder, split, endings) for endings in (LINES, TABLES))
    if split != "train" and _files_of(folder, "train", TABLES) and not _files_of(folder, "train", LINES):
        as_lines, as_tables = as_tables, as_lines  # in the format of the training data, if there are both
    return next(iter([*as_lines, *as_tables]), None)


def _files_of(folder: Path, split: str, endings: Sequence[str]) -> list[Path]:
    candidates = (folder / f"{name}{ending}" for name in SPLIT_NAMES[split] for ending in endings)
    return [file for file in candidates if file.is_file()]


def _listing(folder: Path) -> str:
    """Return a note of which files and folders exist, in case they have unexpected names."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return f" (it has {', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""


def folder_code(language: Language) -> str:
    """Return the name of a language's folder of task data, such as ron_Latn."""
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
    code = folder_code(language)
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
        if code != language.code and name.split("_")[0] not in own_codes and name != folder_code(language):
            raise UsageError(
                f"{folder}: is a folder of {code}, not of {language.name} ({language.code}).",
                f"Use --lang {code}, or --data with the folder of this language or the one that holds all.",
            )


def _is_hidden(folder: Path) -> bool:
    """Return whether a folder was made by a program, such as .ipynb_checkpoints, rather than by the data's owner."""
    return folder.name.startswith(".") or folder.name == "__MACOSX"
