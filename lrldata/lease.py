"""Leases: only one process at a time may write to a folder on an object store. IO.

Stores have no locks, but nearly all can refuse to create an object that already exists. A lease is such an object. It
names its writer, and expires 15 minutes after the writer has died.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from lrldata.errors import BusyError, StorageError
from lrldata.manifest import fingerprint

LEASES = ".leases"
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "az", "hf"}  # stores without folders
SECONDS = 900.0  # a lease that was not renewed for this long has expired
_TRIES = 10
_BOOT, _BOOT_ON_MACOS = "/proc/sys/kernel/random/boot_id", ("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")
SETTLING = 2.0  # after which two writers that took over the same expired lease see the same holder


@dataclass
class Lease:
    """A lease that this process holds."""

    store: Any
    path: str
    writer: str
    renewed: float

    def renew(self) -> None:
        """Record that the writer is still at work, often enough to keep the lease from expiring.

        Raises StorageError if another writer has taken it over, as after this machine was suspended.
        """
        if abs(time.time() - self.renewed) > SECONDS / 5:  # the clock may be set back
            if _read(self.store, self.path).get("writer") != self.writer:
                raise StorageError(f"{self.path}: another process has taken over this lease.", "Run the command again.")
            self.renewed = time.time()
            self.store.pipe_file(self.path, _content(self.writer))


_held: set[str] = set()  # the writers of this process


@contextmanager
def leased(store: Any, root: str, home: str, shown: str) -> Iterator[Lease]:
    """Hold the lease of a folder on a store. Raises BusyError if another writer holds it.

    `root` is the workspace's path on the store, `home` the folder's path below it, `shown` the folder's name in
    messages. A lease that a process of this machine left behind is taken over at once.
    """
    path = f"{root}/{LEASES}/{fingerprint(home)[:32]}.json"
    writer = uuid4().hex
    _held.add(writer)
    try:
        _take(store, path, writer, shown)
        yield Lease(store, path, writer, time.time())
    finally:
        _held.discard(writer)
        if _read(store, path).get("writer") == writer:
            store.rm_file(path)


def _take(store: Any, path: str, writer: str, shown: str) -> None:
    """Create a lease, or take over one whose writer has died. Raises BusyError if another writer holds it."""
    has_expired = False
    for _ in range(_TRIES):
        if _create(store, path, _content(writer)) and (not has_expired or _stays(store, path, writer)):
            return
        if store.exists(path):  # otherwise it has just been released
            _refuse_current(_read(store, path), _written(store, path), shown)
            with suppress(FileNotFoundError):
                store.rm_file(path)  # whoever creates it next holds it
            has_expired = True
        else:
            time.sleep(SETTLING / _TRIES)
    raise StorageError(f"{shown}: its lease cannot be created.", "Check your permissions, and run the command again.")


def has_folders(store: Any) -> bool:
    """Return whether a store has folders, which must exist, instead of buckets."""
    protocols = {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)
    return not protocols & OBJECT_STORES


def make_parent(store: Any, path: str) -> None:
    """Create the parent folder of a path, on a store that has folders."""
    if has_folders(store):
        store.makedirs(path.rsplit("/", maxsplit=1)[0], exist_ok=True)


def _content(writer: str) -> bytes:
    value = {"writer": writer, "host": socket.gethostname(), "process": os.getpid(), "at": time.time()}
    return json.dumps(value | {"machine": _machine()}).encode()


def _machine() -> str:
    """Return what identifies this machine, since it was started, and the namespace that numbers its processes.

    Empty if that cannot be known: names of hosts may not be unique.
    """
    with suppress(OSError):
        boot = Path(_BOOT).read_text("ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    with suppress(OSError, subprocess.SubprocessError):
        boot = subprocess.run(_BOOT_ON_MACOS, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        return f"{socket.gethostname()} {boot}" if boot else ""
    return ""


def _create(store: Any, path: str, content: bytes) -> bool:
    """Create an object; return whether it did not exist before."""
    store.invalidate_cache()
    if store.exists(path):
        return False
    make_parent(store, path)
    try:
        store.pipe_file(path, content, mode="create")
    except (FileExistsError, TypeError, NotImplementedError):
        pass
    except OSError as error:  # compared with the wording of botocore
        if not any(words in str(error) for words in ("PreconditionFailed", "pre-conditions", "ConditionalRequest")):
            raise
    # Refused or not, the object may be this one: a client repeats a request whose answer is lost.
    return bool(_read(store, path).get("writer") == json.loads(content)["writer"])


def _stays(store: Any, path: str, writer: str) -> bool:
    """Return whether a lease is still this writer's after others who found the old one have removed it, too."""
    time.sleep(SETTLING)
    return bool(_read(store, path).get("writer") == writer)


def _read(store: Any, path: str) -> dict[str, Any]:
    try:
        value = json.loads(store.cat_file(path))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _written(store: Any, path: str) -> float | None:
    """Return when an object was written by the store's clock, in seconds; None if it does not say."""
    try:
        return float(store.modified(path).timestamp())
    except Exception:  # noqa: BLE001 -- not every store knows
        return None


def _refuse_current(lease: dict[str, Any], written: float | None, shown: str) -> None:
    """Raise BusyError if a lease has not expired, and its writer has not died on this machine.

    Its age is that of the object on the store, if known, as the writer's clock may be wrong.
    """
    renewed = lease.get("at") if written is None else written
    age = time.time() - renewed if isinstance(renewed, int | float) else SECONDS
    if age < SECONDS and not _is_dead(lease):
        raise BusyError(
            f"{shown}: another process is writing to it ({lease.get('host')}, process {lease.get('process')}, "
            f"last active {max(0.0, age):.0f} s ago).",
            f"Run the same command again when it is done. If it has died, its lease expires after {SECONDS:.0f} s.",
        )


def _is_dead(lease: dict[str, Any]) -> bool:
    """Return whether the process that wrote a lease ran on this machine and has ended, or was this one, and let go."""
    process, here = lease.get("process"), _machine()
    if not here or lease.get("machine") != here or not isinstance(process, int):
        return False
    if process == os.getpid():
        return lease.get("writer") not in _held
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
