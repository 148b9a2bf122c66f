"""One writer at a time to a folder on an object store: a lease, which is an object that only one can create. IO.

Stores have no locks, but nearly all can refuse to create what is there already. A lease names who writes, and ends by
itself some minutes after its writer has died.
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
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "az", "hf"}  # which have no folders
SECONDS = 900.0  # after which a lease that was not renewed is nobody's


@dataclass
class Lease:
    """A lease that is held."""

    store: Any
    path: str
    writer: str
    renewed: float

    def renew(self) -> None:
        """Say that its writer is still at work; often enough for it not to end."""
        if time.time() - self.renewed > SECONDS / 5:
            self.renewed = time.time()
            self.store.pipe_file(self.path, _content(self.writer))


@contextmanager
def leased(store: Any, root: str, home: str, shown: str) -> Iterator[Lease]:
    """Hold the lease of a folder of a store. Raises StorageError where another writer holds it.

    `root` is the workspace's path in the store, `home` the folder's below it, `shown` how people name it.
    """
    path = f"{root}/{LEASES}/{fingerprint(home)[:32]}.json"
    writer = uuid4().hex
    while not _create(store, path, _content(writer)):
        _refuse(_read(store, path), shown)
        store.rm_file(path)  # it has ended; whoever creates it next has it
    lease = Lease(store, path, writer, time.time())
    try:
        yield lease
    finally:
        if _read(store, path).get("writer") == writer:
            store.rm_file(path)


def make_parent(store: Any, path: str) -> None:
    """Make the folder of a path, on a store that has folders."""
    protocols = {store.protocol} if isinstance(store.protocol, str) else set(store.protocol)
    if not protocols & OBJECT_STORES:
        store.makedirs(path.rsplit("/", maxsplit=1)[0], exist_ok=True)


def _content(writer: str) -> bytes:
    value = {"writer": writer, "host": socket.gethostname(), "process": os.getpid(), "at": time.time()}
    return json.dumps(value).encode()


def _create(store: Any, path: str, content: bytes) -> bool:
    """Create an object; return whether it was not there."""
    store.invalidate_cache()
    if store.exists(path):
        return False
    make_parent(store, path)
    try:
        store.pipe_file(path, content, mode="create")
    except (FileExistsError, TypeError, NotImplementedError):
        return False
    except OSError as error:  # as botocore words it
        if "PreconditionFailed" in str(error) or "pre-conditions" in str(error) or "ConditionalRequest" in str(error):
            return False
        raise
    return bool(_read(store, path).get("writer") == json.loads(content)["writer"])


def _read(store: Any, path: str) -> dict[str, Any]:
    try:
        found = json.loads(store.cat_file(path))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _refuse(found: dict[str, Any], shown: str) -> None:
    """Raise StorageError where a lease has not ended."""
    at = found.get("at")
    age = time.time() - at if isinstance(at, int | float) else SECONDS
    if age < SECONDS:
        raise StorageError(
            f"{shown}: another process is writing it ({found.get('host')}, process {found.get('process')}, for "
            f"{max(0.0, age):.0f} s).",
            f"Give the same command again when it is done. If it has died, its lease ends after {SECONDS:.0f} s.",
        )
