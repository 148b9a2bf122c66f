"""Lock files with flock: a process loses its locks when it ends, however it ends. IO.

Some file systems have no locks: Lustre mounted without `flock`, NFS without its lock daemon. There, nothing is locked,
and a warning says so. Using the existence of a file as the lock instead would outlive a process that is killed.
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
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_told: set[int] = set()  # devices of file systems without locks, which a warning has named


class Lock:
    """A file lock that this process holds until it is released. Raises BlockingIOError if another process holds it.

    As a context manager, it is released at the end of the block. Without `create`, the file must exist and is only
    read.
    """

    def __init__(self, path: Path, how: int = EXCLUSIVE, *, wait: bool = False, create: bool = True) -> None:
        mode = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
        self.descriptor = os.open(path, mode | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
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
        """Release the lock, even if a child of this process still has the file open."""
        with suppress(OSError):  # the file system has no locks
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)


def lock(descriptor: int, path: Path, how: int = EXCLUSIVE, *, wait: bool = False) -> None:
    """Lock an open file. Raises BlockingIOError if another process holds the lock, unless `wait` is set."""
    try:
        fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        device = os.fstat(descriptor).st_dev
        if device not in _told:
            folder = path.absolute().parent
            note(f"warning: {folder}: the file system has no locks. Run only one process at a time that writes there.")
        _told.add(device)


@contextmanager
def wait_for_lock(path: Path, why: str) -> Iterator[None]:
    """Hold a lock file; if another process holds it, print a warning and wait."""
    try:
        held = Lock(path)
    except BlockingIOError:
        note(f"warning: {why}; waiting for it to end.")
        held = Lock(path, wait=True)
    with held:
        yield
