"""Locks of files by flock, which a process loses when it ends, however it ends. IO.

Some file systems have none, as Lustre that is mounted without `flock`, or NFS without its lock daemon. There nothing is
locked, and that is said: to refuse all work would help nobody, and a lock by a file's mere existence outlives a kill.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lrldata.output import note

EXCLUSIVE, SHARED = fcntl.LOCK_EX, fcntl.LOCK_SH
_LACKING = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_told: set[Path] = set()


class Lock:
    """The lock of a file, for this process until it is released. Raises BlockingIOError where another has it."""

    def __init__(self, path: Path, how: int = EXCLUSIVE, *, wait: bool = False) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            lock(self.descriptor, path, how, wait=wait)
        except BaseException:
            os.close(self.descriptor)
            raise

    def release(self) -> None:
        """Let others have it, though a child of this process still has the file open."""
        with suppress(OSError):  # of a file system without locks
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)


def lock(descriptor: int, path: Path, how: int = EXCLUSIVE, *, wait: bool = False) -> None:
    """Lock an open file. Raises BlockingIOError where another process has it, unless that is waited for."""
    try:
        fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _LACKING:
            raise
        folder = path.absolute().parent
        if not _told:
            note(f"note: {folder}: its file system has no locks. Start one process at a time that writes there.")
        _told.add(folder)


@contextmanager
def waited(path: Path, why: str) -> Iterator[None]:
    """Hold a lock file; where another process has it, say so and wait."""
    try:
        held = Lock(path)
    except BlockingIOError:
        note(f"note: {why}; waiting for it to end.")
        held = Lock(path, wait=True)
    try:
        yield
    finally:
        held.release()
