"""The files of a folder that are read as documents, their types, and the files left out, with reasons. IO.

All of this is decided by name before any file is read, so that a build can report what it leaves out.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

from lrldata.errors import InputError, NoDataError
from lrldata.language import languages
from lrldata.layout import TOPS, is_workspace

# File types by extension, in any case. Files of the types in PACKED may also have one of ENDINGS after it.
TYPES: Mapping[str, str] = {
    ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv",
    ".txt": "text", ".docx": "docx", ".odt": "odt", ".epub": "epub", ".html": "html", ".htm": "html",
    ".srt": "subtitles", ".vtt": "subtitles", ".usfm": "usfm", ".sfm": "usfm",
}  # fmt: skip
TABLES = frozenset({"parquet", "jsonl", "json", "csv", "tsv"})  # types with columns
OFFICE = frozenset({"docx", "odt", "epub"})  # types that are compressed already
ENDINGS = (".gz", ".xz", ".bz2", ".zst")  # of compressed files
PACKED = frozenset(TYPES.values()) - {"parquet"} - OFFICE
KINDS = (
    f"{', '.join(TYPES)}; text files and tables except .parquet may be compressed "
    f"({', '.join(ENDINGS[:-1])} or {ENDINGS[-1]})"
)
HIDDEN = {"__MACOSX"}  # in addition to names that begin with one of these; Word locks an open file with ~$name.docx
_HIDDEN_BY = (".", "~$")
NAMED = 100  # how many names of files left out are kept per reason
SHOWN = 3  # how many of them are shown

# How to extract the text of files that are not read, by extension.
_WAYS: Mapping[str, str] = {
    ".doc .rtf .pages": "save documents as .docx",
    ".xls .xlsx .ods": "save tables as .csv",
    ".pdf": "extract the text of a .pdf, e.g. with pdftotext",
    ".zip .tar .tgz .7z .rar": "unpack archives",
    ".eaf .flextext .xml .tmx .po .ass .mbox .md": "save only the text, without markup, as .txt",
}
# The reasons for leaving out a file or folder, in words.
LEFT_OUT: Mapping[str, str] = {
    "hidden": "hidden",
    "unknown_type": "unsupported file type",
    "other_folder": "not in the folder of the language",
    "again": "already read under another name",
    "circle": "a link to a folder that contains it",
    "broken_link": "a broken link",
    "not_regular": "not a regular file",
}


@dataclass
class Inputs:
    """The files to read, each with its name, and what is left out: counts and names by reason."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    other_language_files: int = 0  # how many files left out are in the folders of other languages

    def leave_out(self, reason: str, name: str) -> None:
        """Count something that is not read, by reason."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        names = self.names.setdefault(reason, [])
        if len(names) < NAMED:
            names.append(as_utf8(name))

    def left_out(self) -> dict[str, dict[str, object]]:
        """Describe what is left out for a manifest; empty if nothing is."""
        return {
            reason: {"count": self.counts[reason], "names": self.names[reason]}
            for reason in LEFT_OUT
            if reason in self.counts
        }


def as_utf8(name: str) -> str:
    r"""Return the name of a file as text, with bytes that are not UTF-8 written like ``\xe3``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_utf8(name: str) -> bool:
    """Return whether the name of a file is UTF-8."""
    return as_utf8(name) == name


def describe_left_out(left_out: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """Yield one line per reason for leaving files out: how many, why, and the first names."""
    for reason, entry in left_out.items():
        names = list(islice(_texts(entry["names"]), SHOWN))
        more = ", ..." if entry["count"] != len(names) else ""
        hints = {_hint_of(name) for name in _texts(entry["names"])} - {""} if reason == "unknown_type" else set()
        advice = f": {'; '.join(sorted(hints))}" if hints else ""
        yield f"left out, {LEFT_OUT[reason]}: {entry['count']:,} ({', '.join(names)}{more}){advice}"


def _hint_of(name: str) -> str:
    """Return how to extract the text of a file with this name; empty if unknown."""
    ending = Path(name.lower().removesuffix(ending_of(name))).suffix  # for .tar.gz, that of the archive
    return next((hint for endings, hint in _WAYS.items() if ending in endings.split()), "")


def _texts(names: object) -> Sequence[str]:
    return names if isinstance(names, list) else []


def type_of(name: str) -> str | None:
    """Return the type of a file by its name; None for files that are not read."""
    bare = name.rpartition("/")[2].lower()
    if ending := ending_of(bare):
        kind = TYPES.get(Path(bare.removesuffix(ending)).suffix)
        return kind if kind in PACKED else None
    return TYPES.get(Path(bare).suffix)


def ending_of(name: str) -> str:
    """Return the extension that shows how a file is compressed, in any case; empty if it is not."""
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")


def is_packed(name: str) -> bool:
    """Return whether a file is compressed, by its name."""
    return bool(ending_of(name))


def find_files(path: Path, configuration: str | None = None, own: Iterable[Path] = ()) -> Inputs:
    """Return the document files at a path, by name, and what is left out.

    In a folder with a copy of GlotCC-V1, only the language's own folder is read (`configuration`, such as mlt-Latn).
    Links are followed, unless their target is already read. Folders that commands write, which are `own` and those of
    workspaces, are not part of the input, so that a second build reads the same files as the first. Raises InputError
    if there is nothing to read, and NoDataError, a kind of it, if the copy only has folders of other languages.
    """
    if path.is_dir():
        return _in_folder(path, configuration, own)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder.", f"Give --input a folder or file of these kinds: {KINDS}.")
    if not path.is_file():
        raise InputError(f"{path}: not a regular file.", f"Give --input a folder or file of these kinds: {KINDS}.")
    if type_of(path.name) is None:
        advice = _hint_of(path.name)
        hint = f"Files of these kinds are read: {KINDS}."
        hint_text = f"{advice[0].upper()}{advice[1:]}. {hint}" if advice else hint
        raise InputError(f"{path}: unsupported file type.", hint_text)
    return Inputs([(path.name, path)])


def _in_folder(root: Path, configuration: str | None, own: Iterable[Path]) -> Inputs:
    inputs = Inputs()
    entries = sorted(_Walk(root, inputs, own).files(), key=lambda entry: entry[1])
    for name, path in entries:
        if type_of(name) is None:
            inputs.leave_out("unknown_type", name)
        else:
            inputs.files.append((name, path))
    if not inputs.files:
        details = " ".join(f"{line}." for line in describe_left_out(inputs.left_out()))
        raise InputError(
            f"{root}: holds no document{': ' + details if details else '.'}",
            f"Files of these kinds are read: {KINDS}.",
        )
    own_files = [entry for entry in inputs.files if configuration and configuration in entry[0].split("/")[:-1]]
    others = {name: _configurations().intersection(name.split("/")[:-1]) for name, _ in inputs.files}
    read = own_files or [entry for entry in inputs.files if not others[entry[0]]]
    if not read:
        names = sorted(frozenset[str]().union(*others.values()))
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        problem = f"{root}: holds no {configuration}" if configuration else f"{root}: holds no text in the language"
        raise NoDataError(f"{problem}, but {shown}.", "Name a folder that has text of the language with --input.")
    kept = {name for name, _ in read}
    for name in (name for name in others if name not in kept):
        inputs.leave_out("other_folder", name)
        inputs.other_language_files += bool(others[name])
    inputs.files = read
    return inputs


@cache
def _configurations() -> frozenset[str]:
    """Return the names of GlotCC-V1's folders, one per language and script."""
    return frozenset(language.glotcc for language in languages() if language.glotcc)


class _Walk:
    """A walk through a folder: first its own contents, then the targets of its links."""

    def __init__(self, root: Path, inputs: Inputs, own: Iterable[Path]) -> None:
        self.root, self.inputs = root, inputs
        self.own = {_identity(folder.stat()) for folder in own if folder.is_dir()}
        self.seen: set[tuple[int, int]] = set()
        self.links: list[tuple[str, Path]] = []
        real = root.resolve()
        self.above = {_identity(parent.stat()) for parent in real.parents}

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the files, each with its path relative to the root."""
        yield from self._folder("", self.root, linked=False)
        while self.links:
            links, self.links = sorted(self.links), []
            for name, path in links:
                yield from self._link(name, path)

    def _folder(self, above: str, folder: Path, *, linked: bool) -> Iterator[tuple[str, Path]]:
        self.seen.add(_identity(folder.stat()))
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"{folder}: cannot be read ({error.strerror}).", "Check its permissions.") from error
        written = TOPS if not TOPS.isdisjoint(entry.name for entry in entries) and is_workspace(folder) else ()
        for entry in entries:
            name, path = above + entry.name, Path(entry.path)
            if entry.name in written:
                continue
            if entry.name.startswith(_HIDDEN_BY) or entry.name in HIDDEN:
                self.inputs.leave_out("hidden", name)
            elif entry.is_symlink():
                self.links.append((name, path))
            elif entry.is_dir():
                if _identity(path.stat()) in self.own:
                    continue
                if _identity(path.stat()) in self.seen:  # already walked, through a link to a folder above this one
                    self.inputs.leave_out("again", name)
                else:
                    yield from self._folder(f"{name}/", path, linked=linked)
            else:
                yield from self._file(name, path, path.lstat(), linked=linked)

    def _link(self, name: str, path: Path) -> Iterator[tuple[str, Path]]:
        try:
            status = path.stat()
        except OSError:  # leads nowhere or to itself
            self.inputs.leave_out("broken_link", name)
            return
        if not stat.S_ISDIR(status.st_mode):
            yield from self._file(name, path, status, linked=True)
        elif _identity(status) in self.own:
            return
        elif _identity(status) in self.above or path.resolve() in path.parent.resolve().joinpath("x").parents:
            self.inputs.leave_out("circle", name)
        elif _identity(status) in self.seen:
            self.inputs.leave_out("again", name)
        else:
            yield from self._folder(f"{name}/", path, linked=True)

    def _file(self, name: str, path: Path, status: os.stat_result, *, linked: bool) -> Iterator[tuple[str, Path]]:
        if not stat.S_ISREG(status.st_mode):
            self.inputs.leave_out("not_regular", name)
        elif linked and _identity(status) in self.seen:
            self.inputs.leave_out("again", name)
        else:
            self.seen.add(_identity(status))
            yield name, path


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
