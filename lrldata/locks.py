"""Locks of files by flock, which a process loses when it ends, however it ends. IO.

Some file systems have none: Lustre mounted without `flock`, NFS without its lock daemon. There nothing is locked, and a
note warns of it. Locking by the existence of a file instead would outlive a process that is killed.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from lrldata.output import note

EXCLUSIVE, SHARED = fcntl.LOCK_EX, fcntl.LOCK_SH
_LACKING = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_told: set[int] = set()  # file systems, by device, of which it was said that they have none


class Lock:
    """The lock of a file, for this process until it is released. Raises BlockingIOError where another has it.

    As a context manager, it is released at the end.
    """

    def __init__(self, path: Path, how: int = EXCLUSIVE, *, wait: bool = False) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            lock(self.descriptor, path, how, wait=wait)
        except BaseException:
            os.close(self.descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

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
        device = os.fstat(descriptor).st_dev
        if device not in _told:
            folder = path.absolute().parent
            note(f"warning: {folder}: its file system has no locks. Start one process at a time that writes there.")
        _told.add(device)


@contextmanager
def waited(path: Path, why: str) -> Iterator[None]:
    """Hold a lock file; where another process has it, say so and wait."""
    try:
        held = Lock(path)
    except BlockingIOError:
        note(f"warning: {why}; waiting for it to end.")
        held = Lock(path, wait=True)
    with held:
        yield
