"""Leases: only one process at a time may write to a folder on an object store. IO.

Stores have no locks, but nearly all can refuse to create an object that already exists. A lease is such an object. It
names its writer, and expires a few minutes after the writer has died.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from lrldata.errors import StorageError
from lrldata.manifest import fingerprint

LEASES = ".leases"
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "az", "hf"}  # stores without folders
SECONDS = 900.0  # a lease that was not renewed for this long has expired
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
        if time.time() - self.renewed > SECONDS / 5:
            if _read(self.store, self.path).get("writer") != self.writer:
                raise StorageError(f"{self.path}: another process has taken over this lease.", "Run the command again.")
            self.renewed = time.time()
            self.store.pipe_file(self.path, _content(self.writer))


@contextmanager
def leased(store: Any, root: str, home: str, shown: str) -> Iterator[Lease]:
    """Hold the lease of a folder on a store. Raises StorageError if another writer holds it.

    `root` is the workspace's path on the store, `home` the folder's path below it, `shown` the folder's name in
    messages.
    """
    path = f"{root}/{LEASES}/{fingerprint(home)[:32]}.json"
    writer = uuid4().hex
    has_expired = False
    while not (_create(store, path, _content(writer)) and (not has_expired or _stays(store, path, writer))):
        _refuse_current(_read(store, path), shown)
        store.rm_file(path)  # whoever creates it next holds it
        has_expired = True
    lease = Lease(store, path, writer, time.time())
    try:
        yield lease
    finally:
        if _read(store, path).get("writer") == writer:
            store.rm_file(path)


def make_parent(store: Any, path: str) -> None:
    """Create the parent folder of a path, on a store that has folders."""
    protocols = {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)
    if not protocols & OBJECT_STORES:
        store.makedirs(path.rsplit("/", maxsplit=1)[0], exist_ok=True)


def _content(writer: str) -> bytes:
    value = {"writer": writer, "host": socket.gethostname(), "process": os.getpid(), "at": time.time()}
    return json.dumps(value).encode()


def _create(store: Any, path: str, content: bytes) -> bool:
    """Create an object; return whether it did not exist before."""
    store.invalidate_cache()
    if store.exists(path):
        return False
    make_parent(store, path)
    try:
        store.pipe_file(path, content, mode="create")
    except (FileExistsError, TypeError, NotImplementedError):
        return False
    except OSError as error:  # compared with the wording of botocore
        if "PreconditionFailed" in str(error) or "pre-conditions" in str(error) or "ConditionalRequest" in str(error):
            return False
        raise
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


def _refuse_current(lease: dict[str, Any], shown: str) -> None:
    """Raise StorageError if a lease has not expired."""
    renewed = lease.get("at")
    age = time.time() - renewed if isinstance(renewed, int | float) else SECONDS
    if age < SECONDS:
        raise StorageError(
            f"{shown}: another process is writing to it ({lease.get('host')}, process {lease.get('process')}, "
            f"last active {max(0.0, age):.0f} s ago).",
            f"Run the same command again when it is done. If it has died, its lease expires after {SECONDS:.0f} s.",
        )
