"""Artifacts' folders: locked while they are made, and exchanged as a whole. IO."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the lock of an artifact's folder, and put an interrupted exchange right."""
    locks = folder.parent / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{folder.name}.lock"):
        if not folder.exists() and _old(folder).exists():
            _old(folder).rename(folder)
        shutil.rmtree(_old(folder), ignore_errors=True)
        shutil.rmtree(_partial(folder), ignore_errors=True)
        yield


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a new folder to fill, which then takes the place of `folder`; call it under `lock(folder)`.

    Whatever happens, `folder` is the old one or the new one, whole.
    """
    partial = _partial(folder)
    partial.mkdir(parents=True)
    yield partial
    if folder.exists():
        folder.rename(_old(folder))
    partial.rename(folder)
    shutil.rmtree(_old(folder), ignore_errors=True)
