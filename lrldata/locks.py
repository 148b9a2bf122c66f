"""Lock files with flock: a process loses its locks when it ends, however it ends. IO.

Some file systems have no locks: Lustre mounted without `flock`, NFS without its lock daemon. There, a temporary file of
this machine is locked instead, and a warning says that other machines do not see this. Using the existence of a file as
the lock instead would outlive a process that is killed.
"""

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from lrldata.output import warn

EXCLUSIVE, SHARED = fcntl.LOCK_EX, fcntl.LOCK_SH
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_warned: set[int] = set()  # devices of file systems without locks, which a warning has named


class Lock:
    """A file lock that this process holds until it is released. Raises BlockingIOError if another process holds it.

    As a context manager, it is released at the end of the block. Without `create`, the file must exist and is only
    read. So is a file of another user, as in a shared cache, which this one cannot write to.
    """

    def __init__(self, path: Path, mode: int = EXCLUSIVE, *, wait: bool = False, create: bool = True) -> None:
        flags = os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self.descriptor = os.open(path, flags | (os.O_RDWR | os.O_CREAT if create else os.O_RDONLY), 0o666)
        except OSError as error:
            if error.errno not in _UNWRITABLE or not path.is_file():
                raise
            self.descriptor = os.open(path, flags | os.O_RDONLY)
        try:
            lock(self.descriptor, path, mode, wait=wait)
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


def lock(descriptor: int, path: Path, mode: int = EXCLUSIVE, *, wait: bool = False) -> None:
    """Lock an open file. Raises BlockingIOError if another process holds the lock, unless `wait` is set.

    If its file system has no locks, the descriptor refers to another file afterwards: do not read or write through it.
    """
    try:
        fcntl.flock(descriptor, mode if wait else mode | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        device = os.fstat(descriptor).st_dev
        if device not in _warned:
            folder = path.absolute().parent
            warn(
                f"{folder}: the file system has no locks. Let only the processes of one machine and user "
                "write there at a time."
            )
        _warned.add(device)
        _lock_locally(descriptor, path, mode, wait=wait)


def _lock_locally(descriptor: int, path: Path, mode: int, *, wait: bool) -> None:
    """Lock a temporary file of this machine, if it has locks, and let the descriptor refer to that from now on."""
    folder = Path(tempfile.gettempdir(), f"lrl-locks-{os.getuid()}")
    name = hashlib.sha256(os.fsencode(path.parent.resolve() / path.name)).hexdigest()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        local = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        fcntl.flock(local, mode if wait else mode | fcntl.LOCK_NB)
        os.dup2(local, descriptor, inheritable=False)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(local)


@contextmanager
def wait_for_lock(path: Path, why: str) -> Iterator[None]:
    """Hold a lock file; if another process holds it, print a warning and wait."""
    try:
        held = Lock(path)
    except BlockingIOError:
        warn(f"{why}; waiting for it to end.")
        held = Lock(path, wait=True)
    with held:
        yield
