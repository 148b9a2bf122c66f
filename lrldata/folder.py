"""Artifacts' folders: locked while they are made, held while they are published, exchanged as a whole. IO.

Two locks of a folder lie beside it, in `.locks`. NAME.lock is held by whoever makes the artifact, for as long as that
takes. exchange.lock is for the moment in which a new folder takes the place of the old one: whoever exchanges takes it
alone, and those who must not see it happen, as publications, take it together.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lrldata.errors import StorageError
from lrldata.locks import EXCLUSIVE, SHARED, waited
from lrldata.locks import lock as lock_file
from lrldata.output import note
from lrldata.paths import inside, remove, remove_tree, walk

LOCKS = ".locks"
# What macOS, Windows, NFS and Jupyter put beside files, mostly unseen, and make again.
_OF_SYSTEMS = re.compile(r"(^|/)(\.DS_Store|\._[^/]*|Thumbs\.db|desktop\.ini|\.nfs[0-9a-f]+|\.ipynb_checkpoints/.*)$")
_UNFINISHED = re.compile(r"\..+\.\d+\.partial")  # a text that is being written, by a process; see manifest.write_text


@contextmanager
def lock(folder: Path, *, to_read: bool = False) -> Iterator[None]:
    """Hold the lock of an artifact's folder, and put an interrupted exchange right.

    With `to_read`, what is there where nothing can be written is read without a lock; whoever then writes fails.
    """
    with ExitStack() as held:
        if _is_taken(folder, held, to_read=to_read):
            with _exchange(folder, EXCLUSIVE):
                if not folder.exists() and _old(folder).is_dir() and not _old(folder).is_symlink():
                    _old(folder).rename(folder)
            remove_tree(_old(folder))
            remove_tree(_partial(folder))
            remove_unfinished(folder)
        yield


def _is_taken(folder: Path, held: ExitStack, *, to_read: bool) -> bool:
    """Take the lock of a folder; return False for one that is there to be read where no lock can be written."""
    locks = folder.parent / LOCKS
    try:
        locks.mkdir(parents=True, exist_ok=True)
        held.enter_context(waited(locks / f"{folder.name}.lock", f"{folder}: another process is making it"))
    except OSError as error:
        if not to_read or not folder.is_dir() or (error.errno != errno.EROFS and os.access(folder.parent, os.W_OK)):
            raise
        return False
    return True


def discard(folder: Path) -> None:
    """Remove a folder, under its lock: where that is cut short, what is left has another name until the next lock.

    File by file it would for a while, or after a kill for good, look whole to those who go by some of its files.
    """
    folder.rename(_partial(folder))
    remove_tree(_partial(folder))


def remove_unfinished(folder: Path) -> None:
    """Remove texts of which the writing was cut short by a kill; the caller holds the lock under which they are."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if _UNFINISHED.fullmatch(path.name):
            remove(folder, path.name)


@contextmanager
def kept_in_place(folders: Iterable[Path]) -> Iterator[None]:
    """Let no folder of these be exchanged meanwhile: who has made a new one waits. For several at once, as a push.

    A workspace that cannot be written to is not locked, as nothing can be exchanged in it by this user.
    """
    with ExitStack() as held:
        for folder in {each.resolve().parent: each.resolve() for each in folders}.values():
            held.enter_context(_exchange(folder, SHARED))
        yield


@contextmanager
def _exchange(folder: Path, how: int) -> Iterator[None]:
    path = _exchange_lock(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError:
        if how == EXCLUSIVE:
            raise
        yield
        return
    try:
        try:
            lock_file(descriptor, path, how)
        except BlockingIOError:
            doing = "publishing what is in" if how == EXCLUSIVE else "replacing a folder of"
            note(f"warning: another process is {doing} {folder.parent}; waiting for it to end.")
            lock_file(descriptor, path, how, wait=True)
        yield
    finally:
        os.close(descriptor)


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def is_exchanged(folder: Path) -> bool:
    """Return whether a new folder is taking this one's place just now, so that for a moment there is none."""
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

    Whatever happens, `folder` is the old one or the new one, whole. Raises StorageError where the old one holds a file
    that is not an artifact's own, by its path in it: that would be lost. `what` names the artifact, as `a dataset`, and
    `keeps` a folder in the old one that the new one gets a copy of, as it is at the moment of the exchange.
    """
    refuse_strangers(folder, is_own, what)
    partial = _partial(folder)
    partial.mkdir(parents=True)
    yield partial
    with _exchange(folder, EXCLUSIVE):
        if keeps and inside(folder, keeps).is_dir():  # others may have added to it meanwhile
            for _ in walk(folder / keeps):  # nothing in it may be a link
                pass
            shutil.copytree(folder / keeps, partial / keeps)
        if folder.exists():
            folder.rename(_old(folder))
        try:
            partial.rename(folder)
        except BaseException:
            if _old(folder).exists() and not folder.exists():
                _old(folder).rename(folder)
            raise
    remove_tree(_old(folder))


def refuse_strangers(folder: Path, is_own: Callable[[str], bool], what: str) -> None:
    """Raise StorageError where a folder holds what is not an artifact's own; what systems leave there may go."""
    names = (path.relative_to(folder).as_posix() for path in walk(folder))
    if strangers := [name for name in names if not is_own(name) and not _OF_SYSTEMS.search(name)]:
        raise StorageError(
            f"{folder}: holds what is not {what}'s: {', '.join(strangers[:5])}.",
            "Move that away, or name another --out.",
        )
