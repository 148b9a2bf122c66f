"""The checks of paths that come from data, and the rule that all such paths go through them."""

import ast
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrldata.paths import OpenFolder, PathError, find, inside, is_safe, remove, remove_tree, walk

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = (
    "", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", ".", "./a", "a/.", "a//b", "a/", "a\\b", "C:x", "C:/x",
    "a\0b", "a\nb", "\x1b[31m", "a" * 2_000, "\udc80",
)  # fmt: skip


@pytest.mark.parametrize("name", [*HOSTILE, None, 1, b"a", ["a"]])
def test_an_unsafe_name_is_refused(name: str, tmp_path: Path) -> None:
    assert not is_safe(name)
    for function in (inside, find, remove):
        with pytest.raises(PathError, match="not a path inside"):
            function(tmp_path, name)
    with OpenFolder(tmp_path) as opened, pytest.raises(PathError):
        opened.open(name)


@pytest.mark.parametrize("name", ["a", "data/train-00000-of-00001.parquet", ".x", "a b/ü…", "..a", "a..b/c"])
def test_an_ordinary_name_is_accepted(name: str, tmp_path: Path) -> None:
    file = inside(tmp_path, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    with OpenFolder(tmp_path) as opened:
        assert opened.read(name) == b"x"
    assert find(tmp_path, name) == file
    remove(tmp_path, name)
    assert find(tmp_path, name) is None


def _link(folder: Path, victim: Path) -> None:
    (folder / "a").symlink_to(victim)


def _link_to_a_folder(folder: Path, victim: Path) -> None:
    (folder / "a").symlink_to(victim.parent)


def _dangling_link(folder: Path, _victim: Path) -> None:
    (folder / "a").symlink_to(folder / "nothing")


def _pipe(folder: Path, _victim: Path) -> None:
    os.mkfifo(folder / "a")


def _socket(folder: Path, _victim: Path) -> None:
    previous = Path.cwd()
    os.chdir(folder)  # a socket's address is limited to about a hundred characters
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a")
    os.chdir(previous)


@pytest.mark.parametrize("plant", [_link, _link_to_a_folder, _dangling_link, _pipe, _socket])
def test_anything_but_a_regular_file_is_refused_and_left_untouched(plant: object, tmp_path: Path) -> None:
    folder, victim = tmp_path / "folder", tmp_path / "victim" / "secret"
    for directory in (folder, victim.parent):
        directory.mkdir()
    victim.write_text("secret")
    plant(folder, victim)  # type: ignore[operator]
    names = ("a", "a/secret") if plant is _link_to_a_folder else ("a",)
    for name in names:
        with OpenFolder(folder) as opened, pytest.raises(PathError):
            opened.open(name)
        with pytest.raises(PathError):
            remove(folder, name)
    with pytest.raises(PathError):
        list(walk(folder))
    assert victim.read_text() == "secret"


def test_a_linked_folder_can_be_read_and_removing_it_removes_only_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    (real / "a").write_text("x")
    link.symlink_to(real)
    assert find(link, "a") == link / "a"
    with OpenFolder(link) as opened:
        assert opened.read("a") == b"x"
    remove_tree(link)
    assert (real / "a").read_text() == "x"
    assert not link.is_symlink()


def test_an_open_folder_stays_the_same_when_it_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("old")
    with OpenFolder(folder) as opened:
        folder.rename(tmp_path / "other")
        folder.mkdir()
        (folder / "a").write_text("new")
        assert opened.read("a") == b"old"
        assert not opened.is_current


# Functions outside lrldata.paths that remove files (None: the whole module): the files' names do not come from data.
REMOVES = {
    "lrldata/paths.py": {"remove", "remove_tree"},
    "lrldata/lease.py": {"leased", "_take"},  # its own lease, named by a hash
    "lrldata/sending.py": {"put"},  # in the store, by a name that was checked
    "lrldata/conceptnet/download.py": None,  # a partial download, in a folder named by a hash
    "lrldata/conceptnet/index.py": {"_write_edges"},  # the clean copy and the rejects next to the index
    "lrldata/web/build.py": {"_build_one", "_write_parts"},  # the scratch folder, named by a hash
    "lrltrain/hub_cache.py": {"drop_damaged"},  # damaged files in the Hub's cache
}
REMOVERS = {"unlink", "rmtree", "rmdir", "removedirs", "rm_file", "rm"}


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield the file, enclosing function and node of each call in the packages.

    The local Hub is left out: its names are those of repositories and requests, so it has its own checks (limits.py,
    patterns.py), which tests/local_hub/test_hostile*.py covers.
    """
    for package in ("lrldata", "lrltrain", "hub_cards"):
        for file in sorted((ROOT / package).rglob("*.py")):
            if file.is_relative_to(ROOT / "hub_cards" / "local_hub"):
                continue
            tree = ast.parse(file.read_text("utf-8"))
            owners = {
                inner: function.name
                for function in ast.walk(tree)
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
                for inner in ast.walk(function)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    yield file.relative_to(ROOT).as_posix(), owners.get(node, ""), node


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def test_files_are_removed_only_by_lrldata_paths() -> None:
    violations = [
        f"{file}: {owner}"
        for file, owner, node in _calls()
        if _called(node) in REMOVERS
        and not (file in REMOVES and (REMOVES[file] is None or owner in (REMOVES[file] or ())))
    ]
    assert violations == [], "remove files with lrldata.paths, or add the function to REMOVES and say why"


def test_paths_from_data_are_opened_only_by_lrldata_paths() -> None:
    """A path that ends in `entry["path"]`, `row["name"]` or similar comes from data."""
    violations = []
    for file, owner, node in _calls():
        if file == "lrldata/paths.py":
            continue
        expressions = [*node.args, node.func.value if isinstance(node.func, ast.Attribute) else None]
        for expression in filter(None, expressions):
            joins = [
                join for join in ast.walk(expression) if isinstance(join, ast.BinOp) and isinstance(join.op, ast.Div)
            ]
            if any(isinstance(join.right, ast.Subscript) for join in joins):
                violations.append(f"{file}: {owner}")
    assert violations == [], "open paths that come from data with lrldata.paths"


def test_links_are_never_followed() -> None:
    """`rglob` follows links to files, and `is_file` accepts them; folders of artifacts are searched with `walk`."""
    allowed = {
        ("lrldata/code_version.py", "code_hash"),  # our own code
        ("lrldata/web/read.py", "find_shards"),  # documents that the user names
        ("lrltrain/artifact.py", "write_adapter"),  # in a folder that was just created
        ("lrltrain/grid/identity.py", "_stat"),  # inputs that the user names
    }
    calls = [(file, owner) for file, owner, node in _calls() if _called(node) == "rglob"]
    assert set(calls) <= allowed
