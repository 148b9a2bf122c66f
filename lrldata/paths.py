"""Checks for paths that come from data: relative, inside their folder, through no link, to regular files. IO.

The listing of a bucket, a record, a manifest, a card or a plan may come from anybody. The files that they name are
opened, written and removed only through these functions, so that none of them reaches a file outside its folder.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, Self

from lrldata.errors import StorageError

LONGEST = 1_024  # characters: the longest key that stores allow
_REFUSED = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]|^[A-Za-z]:")
_HINT = "lrl never creates this. Find out where it comes from, and remove it."


class PathError(StorageError):
    """A path leads, or could lead, out of its folder, or to something that is not a regular file."""


def is_safe(name: object) -> bool:
    """Return whether a name is a relative path in plain form, such as ``data/train-00000-of-00001.parquet``."""
    if not isinstance(name, str) or not name or len(name) > LONGEST or _REFUSED.search(name):
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def is_segment(name: object) -> bool:
    """Return whether a name can be that of a file or folder, in whatever folder it is put."""
    return is_safe(name) and "/" not in str(name)


def state_of(file: Path) -> tuple[Any, ...]:
    """Return a key that identifies the state of a file: it differs after an edit, and for a file in another folder."""
    path = file.absolute()
    try:
        status = path.stat()
    except OSError:
        return (path,)
    return (path, status.st_size, status.st_mtime_ns, status.st_ino)


def safe_name(name: object) -> str:
    """Return a name that is safe to append to a folder. Raises PathError for any other name."""
    if not is_safe(name):
        raise PathError(f"{str(name)[:200]!r}: not a path inside its folder.", _HINT)
    return str(name)


def inside(folder: Path, name: str) -> Path:
    """Return the path of a name below a folder, whether or not it exists. Raises PathError.

    The folder itself may be a link or be reached through one; nothing below it may.
    """
    path = folder
    for part in safe_name(name).split("/"):
        path /= part
        if path.is_symlink():
            raise PathError(f"{path}: a link, which is not followed.", "Put the file itself there, or remove the link.")
    return path


def find(folder: Path, name: str) -> Path | None:
    """Return the path of a regular file below a folder; None if nothing is there. Raises PathError."""
    path = inside(folder, name)
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(mode):
        raise PathError(f"{path}: not a regular file.", _HINT)
    return path


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted. Raises PathError for a link, a device or a pipe."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink():
            raise PathError(f"{path}: a link, which is not followed.", "Put the file itself there, or remove the link.")
        if entry.is_dir():
            yield from walk(path)
        elif entry.is_file():
            yield path
        else:
            raise PathError(f"{path}: not a regular file.", _HINT)


def remove(folder: Path, name: str) -> None:
    """Remove a file below a folder, if it exists. Raises PathError."""
    path = find(folder, name)
    if path is not None:
        path.unlink(missing_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder and its content, if it exists; if it is a link, only the link."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


class OpenFolder:
    """An open folder, whose files stay available even if another folder takes its place meanwhile.

    Each name is opened relative to the open folder, part by part and through no link, so that exchanges between a check
    and a read do no harm.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def is_current(self) -> bool:
        """Return whether this folder is still the one at its path."""
        try:
            current = self.folder.stat()
        except OSError:
            return False
        opened = os.fstat(self._descriptor)
        return (current.st_dev, current.st_ino) == (opened.st_dev, opened.st_ino)

    def open(self, name: str) -> BufferedReader:
        """Open a regular file for reading. Raises PathError, FileNotFoundError."""
        *parents, last = safe_name(name).split("/")
        parent = os.dup(self._descriptor)
        try:
            for part in parents:
                parent, previous = self._open(part, os.O_DIRECTORY, parent, name), parent
                os.close(previous)
            # Without O_NONBLOCK, opening a pipe would wait.
            descriptor = self._open(last, os.O_NONBLOCK, parent, name)
        finally:
            os.close(parent)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise PathError(f"{self.folder / name}: not a regular file.", _HINT)
        return os.fdopen(descriptor, "rb")

    def _open(self, part: str, flags: int, parent: int, name: str) -> int:
        try:
            return os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=parent)
        except OSError as error:
            is_link = error.errno == errno.ELOOP or _is_link(part, parent)
            if is_link:
                raise PathError(
                    f"{self.folder / name}: a link, which is not followed.",
                    "Put the file itself there; `hf download --local-dir FOLDER` creates files, not links.",
                ) from error
            if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):  # a socket; macOS reports the latter
                raise PathError(f"{self.folder / name}: not a regular file.", _HINT) from error
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise FileNotFoundError(error.errno, error.strerror, str(self.folder / name)) from error
            raise OSError(error.errno, error.strerror, str(self.folder / name)) from error

    def read(self, name: str) -> bytes:
        """Return the content of a regular file. Raises PathError, FileNotFoundError."""
        with self.open(name) as stream:
            return stream.read()


def _is_link(part: str, parent: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(part, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False
