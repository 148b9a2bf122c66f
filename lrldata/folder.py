"""Artifact folders: locked while they are built, held while they are published, and replaced as a whole. IO.

A folder has two locks next to it, in `.locks`. Whoever builds the artifact holds NAME.lock for the whole build.
exchange.lock covers the moment in which a new folder takes the place of the old one: whoever exchanges folders holds it
exclusively, and those who must not see an exchange, such as publications, share it.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lrldata.errors import StorageError
from lrldata.locks import EXCLUSIVE, SHARED, Lock, wait_for_lock
from lrldata.locks import lock as lock_file
from lrldata.output import warn
from lrldata.paths import inside, remove, remove_tree, walk

LOCKS = ".locks"
# Files that macOS, Windows, NFS and Jupyter leave in folders, mostly hidden, and create again.
_SYSTEM_FILES = re.compile(r"(^|/)(\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+|\.ipynb_checkpoints/.*)$")
_UNFINISHED = re.compile(r"\..+\.\d+\.partial")  # a text that is still being written; see manifest.write_text


@contextmanager
def lock(folder: Path, *, to_read: bool = False) -> Iterator[None]:
    """Hold the lock of an artifact's folder. An interrupted exchange of the folder is repaired first.

    With `to_read`, an existing folder that cannot be written to is read without a lock; writing to it fails later.
    """
    with ExitStack() as stack:
        if _take_lock(folder, stack, to_read=to_read):
            with _exchange(folder, EXCLUSIVE):
                if not folder.exists() and _old(folder).is_dir() and not _old(folder).is_symlink():
                    _old(folder).rename(folder)
                remove_unfinished(folder)  # no reviewer is writing to it now
            remove_tree(_old(folder))
            remove_tree(_partial(folder))
        yield


def _take_lock(folder: Path, stack: ExitStack, *, to_read: bool) -> bool:
    """Take the lock of a folder; return False if the folder is only to be read, and no lock can be written there."""
    locks = folder.parent / LOCKS
    if to_read and folder.is_dir() and not os.access(folder.parent, os.W_OK):
        return False
    try:
        locks.mkdir(parents=True, exist_ok=True)
        stack.enter_context(wait_for_lock(locks / f"{folder.name}.lock", f"{folder}: another process is building it"))
    except OSError as error:
        if not to_read or not folder.is_dir() or error.errno != errno.EROFS:
            raise
        return False
    return True


def discard(folder: Path) -> None:
    """Remove a folder, under its lock. After an interruption the rest has a hidden name until the next lock removes it.

    If it were removed file by file under its own name, it would look complete to readers that check only some of its
    files: for a while, or after a kill permanently.
    """
    folder.rename(_partial(folder))
    remove_tree(_partial(folder))


def sweep(folder: Path) -> None:
    """Remove what a killed process has left next to a folder, unless a process is working there now."""
    with suppress(OSError):
        leftovers = [path for path in (_old(folder), _partial(folder)) if path.exists()]
        if leftovers:
            with Lock(folder.parent / LOCKS / f"{folder.name}.lock"):
                for path in leftovers:
                    remove_tree(path)


def remove_unfinished(folder: Path) -> None:
    """Remove texts whose writing was cut short by a kill; the caller holds the lock of their folder."""
    for path in [*folder.glob("*"), *folder.glob("*/*")]:
        if _UNFINISHED.fullmatch(path.name):
            remove(folder, path.relative_to(folder).as_posix())


@contextmanager
def prevent_exchange(folders: Iterable[Path]) -> Iterator[None]:
    """Keep these folders from being exchanged meanwhile: a finished build waits. Several processes can do so at once.

    A workspace that this user cannot write to is not locked, because the user cannot exchange anything in it either.
    """
    with ExitStack() as stack:
        for folder in {path.resolve().parent: path.resolve() for path in folders}.values():
            stack.enter_context(_exchange(folder, SHARED))
        yield


@contextmanager
def _exchange(folder: Path, mode: int) -> Iterator[None]:
    path = _exchange_lock(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError:
        if mode == EXCLUSIVE:
            raise
        yield
        return
    try:
        try:
            lock_file(descriptor, path, mode)
        except BlockingIOError:
            activity = "publishing from" if mode == EXCLUSIVE else "replacing a folder in"
            warn(f"another process is {activity} {folder.parent}; waiting for it to end.")
            lock_file(descriptor, path, mode, wait=True)
        yield
    finally:
        os.close(descriptor)


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def is_exchanged(folder: Path) -> bool:
    """Return whether a new folder is replacing this one right now, so that for a moment neither exists."""
    path = _exchange_lock(folder)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        lock_file(descriptor, path, SHARED)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _exchange_lock(folder: Path) -> Path:
    return folder.parent / LOCKS / "exchange.lock"


@contextmanager
def replaced(folder: Path, is_own: Callable[[str], bool], what: str, keeps: str | None = None) -> Iterator[Path]:
    """Yield a new folder to fill, which then takes the place of `folder`; call it under `lock(folder)`.

    Whatever happens, `folder` is either the old one or the new one, complete. Raises StorageError if the old folder has
    a file whose path does not satisfy `is_own`, because that file would be lost. `what` names the artifact in messages,
    e.g. `a dataset`. `keeps` is a subfolder of the old folder, which is copied to the new one at the moment of the
    exchange.
    """
    refuse_foreign_files(folder, is_own, what)
    partial = _partial(folder)
    partial.mkdir(parents=True)
    yield partial
    with _exchange(folder, EXCLUSIVE):
        if keeps and inside(folder, keeps).is_dir():  # others may have added to it meanwhile
            for _ in walk(folder / keeps):  # raises PathError if there is a link in it
                pass
            shutil.copytree(folder / keeps, partial / keeps, copy_function=_copy_to_disk)
        if folder.exists():
            folder.rename(_old(folder))
        try:
            partial.rename(folder)
        except BaseException:
            if _old(folder).exists() and not folder.exists():
                _old(folder).rename(folder)
            raise
    remove_tree(_old(folder))


def _copy_to_disk(source: str, target: str) -> None:
    """Copy a file, and wait until it is on disk: nobody could make it again after a power cut."""
    shutil.copy2(source, target)
    with Path(target).open("rb") as stream:
        os.fsync(stream.fileno())


def refuse_foreign_files(folder: Path, is_own: Callable[[str], bool], what: str) -> None:
    """Raise StorageError if a folder has files that are not the artifact's own; system files are ignored."""
    names = (path.relative_to(folder).as_posix() for path in walk(folder))
    if strangers := [name for name in names if not is_own(name) and not _SYSTEM_FILES.search(name)]:
        raise StorageError(
            f"{folder}: contains files that do not belong to {what}: {', '.join(strangers[:5])}.",
            "Move them away, or choose another --out.",
        )
