"""Which files of a folder are read as documents, of which type each is, and which are left out, and why. IO.

All of it is decided before anything is read, and by names alone, so that what is left out can be said.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

from lrldata.errors import InputError, NothingError
from lrldata.language import languages

# The type of a file by its own ending, in any case; of those in PACKED also with an ending of a packer behind it.
TYPES: Mapping[str, str] = {
    ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv",
    ".txt": "text", ".docx": "docx", ".odt": "odt", ".epub": "epub", ".html": "html", ".htm": "html",
    ".srt": "subtitles", ".vtt": "subtitles", ".usfm": "usfm", ".sfm": "usfm",
}  # fmt: skip
TABLES = frozenset({"parquet", "jsonl", "json", "csv", "tsv"})  # types with columns
OFFICE = frozenset({"docx", "odt", "epub"})  # that are packed themselves
ENDINGS = (".gz", ".xz", ".bz2", ".zst")  # of packers
PACKED = frozenset(TYPES.values()) - {"parquet"} - OFFICE
KINDS = f"{', '.join(TYPES)}; text and tables but .parquet also with {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} behind"
HIDDEN = {"__MACOSX"}  # and what begins with a dot
NAMED = 100  # names that are kept of what is left out, for each reason
SHOWN = 3  # and that are shown

# How to get at the text of files that are not read, by their endings.
_WAYS: Mapping[str, str] = {
    ".doc .rtf .pages": "save documents as .docx",
    ".xls .xlsx .ods": "save tables as .csv",
    ".pdf": "take the text out of a .pdf, as with pdftotext",
    ".zip .tar .tgz .7z .rar": "unpack archives",
    ".eaf .flextext .xml .tmx .po .ass .mbox .md": "save the text alone, without marks, as .txt",
}
# The reasons for which a file or folder is left out, in words.
LEFT_OUT: Mapping[str, str] = {
    "hidden": "hidden",
    "unknown_type": "of a type that is not read",
    "other_folder": "not in the folder of the language",
    "again": "linked, and read already under another name",
    "circle": "a link to a folder that it lies in",
    "broken_link": "a link to nothing",
    "not_regular": "not a file",
}


@dataclass
class Inputs:
    """The files that are read, each with its name, and what is left out: for each reason how many, and names."""

    files: list[tuple[str, Path]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    of_others: int = 0  # of what is left out, files in the folders of other languages

    def leave_out(self, reason: str, name: str) -> None:
        """Count something that is not read, by its reason."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        named = self.names.setdefault(reason, [])
        if len(named) < NAMED:
            named.append(as_utf8(name))

    def left_out(self) -> dict[str, dict[str, object]]:
        """Describe what is left out for a manifest; empty where nothing is."""
        return {
            reason: {"count": self.counts[reason], "names": self.names[reason]}
            for reason in LEFT_OUT
            if reason in self.counts
        }


def as_utf8(name: str) -> str:
    r"""Return the name of a file as text: bytes that are not UTF-8 as ``\xe3``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_utf8(name: str) -> bool:
    """Return whether the name of a file is UTF-8."""
    return as_utf8(name) == name


def describe_left_out(left_out: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """Yield a line for each reason for which something was left out: how much, why, and the first names."""
    for reason, what in left_out.items():
        names = list(islice(_texts(what["names"]), SHOWN))
        more = ", ..." if what["count"] != len(names) else ""
        ways = {_way(name) for name in _texts(what["names"])} - {""} if reason == "unknown_type" else set()
        out = f": {'; '.join(sorted(ways))}" if ways else ""
        yield f"left out, {LEFT_OUT[reason]}: {what['count']:,} ({', '.join(names)}{more}){out}"


def _way(name: str) -> str:
    """Return how text in a file of this name can be read; empty where nothing is known."""
    ending = Path(name.lower().removesuffix(ending_of(name))).suffix  # of .tar.gz that of the archive
    return next((way for endings, way in _WAYS.items() if ending in endings.split()), "")


def _texts(names: object) -> Sequence[str]:
    return names if isinstance(names, list) else []


def type_of(name: str) -> str | None:
    """Return the type of a file by its name; None for one that is not read."""
    bare = name.rpartition("/")[2].lower()
    if packed := ending_of(bare):
        found = TYPES.get(Path(bare.removesuffix(packed)).suffix)
        return found if found in PACKED else None
    return TYPES.get(Path(bare).suffix)


def ending_of(name: str) -> str:
    """Return the ending that says how a file is packed, in any case; empty where it is not."""
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")


def is_packed(name: str) -> bool:
    """Return whether a file is packed, by its name."""
    return bool(ending_of(name))


def find_files(given: Path, configuration: str | None = None) -> Inputs:
    """Return the files of documents that are given, by name, and what is left out.

    Of a folder with a copy of GlotCC-V1 those of the language's own folder are read (`configuration`, as mlt-Latn).
    Links are followed, to what is not read already. Raises InputError where there is nothing to read, or the copy has
    folders of other languages alone.
    """
    if given.is_dir():
        return _in_folder(given, configuration)
    if not given.exists():
        raise InputError(f"{given}: no such file or folder.", f"Give --input a folder or file of these kinds: {KINDS}.")
    if not given.is_file():
        raise InputError(f"{given}: not a regular file.", f"Give --input a folder or file of these kinds: {KINDS}.")
    if type_of(given.name) is None:
        way = _way(given.name)
        hint = f"Files of these kinds are read: {KINDS}."
        told = f"{way[0].upper()}{way[1:]}. {hint}" if way else hint
        raise InputError(f"{given}: the type of this file is not known.", told)
    return Inputs([(given.name, given)])


def _in_folder(given: Path, configuration: str | None) -> Inputs:
    inputs = Inputs()
    found = sorted(_Walk(given, inputs).files(), key=lambda each: each[1])
    for name, path in found:
        if type_of(name) is None:
            inputs.leave_out("unknown_type", name)
        else:
            inputs.files.append((name, path))
    if not inputs.files:
        left = " ".join(f"{line}." for line in describe_left_out(inputs.left_out()))
        raise InputError(
            f"{given}: holds no document{': ' + left if left else '.'}", f"Files of these kinds are read: {KINDS}."
        )
    own = [each for each in inputs.files if configuration and configuration in each[0].split("/")[:-1]]
    others = {name: _configurations().intersection(name.split("/")[:-1]) for name, _ in inputs.files}
    read = own or [each for each in inputs.files if not others[each[0]]]
    if not read:
        names = sorted(frozenset[str]().union(*others.values()))
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        told = f"{given}: holds no {configuration}" if configuration else f"{given}: is of other languages"
        raise NothingError(f"{told}, but {shown}.", "Name a folder that has text of the language with --input.")
    kept = {name for name, _ in read}
    for name in (name for name in others if name not in kept):
        inputs.leave_out("other_folder", name)
        inputs.of_others += bool(others[name])
    inputs.files = read
    return inputs


@cache
def _configurations() -> frozenset[str]:
    """Return the names of GlotCC-V1's folders, one a language and script."""
    return frozenset(each.glotcc for each in languages() if each.glotcc)


class _Walk:
    """A walk through a folder: first through what lies in it, then through what its links lead to."""

    def __init__(self, root: Path, inputs: Inputs) -> None:
        self.root, self.inputs = root, inputs
        self.seen: set[tuple[int, int]] = set()
        self.links: list[tuple[str, Path]] = []
        real = root.resolve()
        self.above = {_identity(each.stat()) for each in real.parents}

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the files, each with its name below the root."""
        yield from self._folder("", self.root, linked=False)
        while self.links:
            links, self.links = sorted(self.links), []
            for name, path in links:
                yield from self._link(name, path)

    def _folder(self, above: str, folder: Path, *, linked: bool) -> Iterator[tuple[str, Path]]:
        self.seen.add(_identity(folder.stat()))
        try:
            with os.scandir(folder) as opened:
                entries = sorted(opened, key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"{folder}: cannot be read ({error.strerror}).", "Check the rights to it.") from error
        for entry in entries:
            name, path = above + entry.name, Path(entry.path)
            if entry.name.startswith(".") or entry.name in HIDDEN:
                self.inputs.leave_out("hidden", name)
            elif entry.is_symlink():
                self.links.append((name, path))
            elif entry.is_dir():
                if _identity(path.stat()) in self.seen:  # by a link to a folder above this one
                    self.inputs.leave_out("again", name)
                else:
                    yield from self._folder(f"{name}/", path, linked=linked)
            else:
                yield from self._file(name, path, path.lstat(), linked=linked)

    def _link(self, name: str, path: Path) -> Iterator[tuple[str, Path]]:
        try:
            found = path.stat()
        except OSError:  # leads nowhere, or to itself
            self.inputs.leave_out("broken_link", name)
            return
        if not stat.S_ISDIR(found.st_mode):
            yield from self._file(name, path, found, linked=True)
        elif _identity(found) in self.above or path.resolve() in path.parent.resolve().joinpath("x").parents:
            self.inputs.leave_out("circle", name)
        elif _identity(found) in self.seen:
            self.inputs.leave_out("again", name)
        else:
            yield from self._folder(f"{name}/", path, linked=True)

    def _file(self, name: str, path: Path, found: os.stat_result, *, linked: bool) -> Iterator[tuple[str, Path]]:
        if not stat.S_ISREG(found.st_mode):
            self.inputs.leave_out("not_regular", name)
        elif linked and _identity(found) in self.seen:
            self.inputs.leave_out("again", name)
        else:
            self.seen.add(_identity(found))
            yield name, path


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
