"""What differs on macOS, imitated: no /proc, and a file system that ignores upper and lower case."""

import errno
import os
import sys
from pathlib import Path

import pytest

import lrldata
from lrldata import forks
from lrldata.paths import OpenFolder, PathError
from lrldata.workspace import requested_codes


@pytest.fixture
def ignore_case(monkeypatch: pytest.MonkeyPatch) -> None:
    def finds(path: Path, **_: bool) -> bool:
        return path.parent.exists() and path.name.casefold() in map(str.casefold, os.listdir(path.parent))  # noqa: PTH208

    monkeypatch.setattr(Path, "is_dir", finds)


@pytest.mark.usefixtures("ignore_case")
def test_a_code_in_other_letters_is_that_of_the_folder(tmp_path: Path) -> None:
    built = lrldata.build("ro", sample=True, out=tmp_path, cache=tmp_path, quiet=True)
    assert requested_codes("RO, ron", tmp_path) == ["ro"]
    assert lrldata.open_workspace(tmp_path).dataset("RO").path == built.path


@pytest.mark.parametrize("polars", [True, False])
def test_a_process_is_forked_after_polars_was_used_if_polars_is_imported(
    monkeypatch: pytest.MonkeyPatch, *, polars: bool
) -> None:
    monkeypatch.setattr(forks, "_state", {"threads": False, "forked": False})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_dir", lambda _: False)
        patch.setattr(sys, "modules", {"polars": sys} if polars else {})
        forks._record_threads()  # noqa: SLF001 -- called by os.fork
    assert forks._state["threads"] is polars  # noqa: SLF001


def test_a_socket_is_not_a_regular_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported on socket")

    (tmp_path / "a").touch()
    with OpenFolder(tmp_path) as folder, monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(PathError, match="not a regular file"):
            folder.open("a")
