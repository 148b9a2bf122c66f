"""The gate for paths that data names, and that everything goes through it."""

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
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    assert not is_safe(name)
    for gate in (inside, find, remove):
        with pytest.raises(PathError, match="not a path inside"):
            gate(tmp_path, name)
    with OpenFolder(tmp_path) as held, pytest.raises(PathError):
        held.open(name)


@pytest.mark.parametrize("name", ["a", "data/train-00000-of-00001.parquet", ".x", "a b/ü…", "..a", "a..b/c"])
def test_an_ordinary_name_is_taken(name: str, tmp_path: Path) -> None:
    file = inside(tmp_path, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    with OpenFolder(tmp_path) as held:
        assert held.read(name) == b"x"
    assert find(tmp_path, name) == file
    remove(tmp_path, name)
    assert find(tmp_path, name) is None


def _link(folder: Path, victim: Path) -> None:
    (folder / "a").symlink_to(victim)


def _link_to_a_folder(folder: Path, victim: Path) -> None:
    (folder / "a").symlink_to(victim.parent)


def _dangling(folder: Path, _victim: Path) -> None:
    (folder / "a").symlink_to(folder / "nothing")


def _pipe(folder: Path, _victim: Path) -> None:
    os.mkfifo(folder / "a")


def _socket(folder: Path, _victim: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)  # an address may be no longer than a hundred characters
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("a")
    os.chdir(here)


@pytest.mark.parametrize("plant", [_link, _link_to_a_folder, _dangling, _pipe, _socket])
def test_what_is_not_a_regular_file_is_not_opened_removed_or_passed_over(plant: object, tmp_path: Path) -> None:
    folder, victim = tmp_path / "folder", tmp_path / "victim" / "secret"
    for each in (folder, victim.parent):
        each.mkdir()
    victim.write_text("secret")
    plant(folder, victim)  # type: ignore[operator]
    names = ("a", "a/secret") if plant is _link_to_a_folder else ("a",)
    for name in names:
        with OpenFolder(folder) as held, pytest.raises(PathError):
            held.open(name)
        with pytest.raises(PathError):
            remove(folder, name)
    with pytest.raises(PathError):
        list(walk(folder))
    assert victim.read_text() == "secret"


def test_a_folder_behind_a_link_is_a_folder_and_what_is_removed_is_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    (real / "a").write_text("x")
    link.symlink_to(real)
    assert find(link, "a") == link / "a"
    with OpenFolder(link) as held:
        assert held.read("a") == b"x"
    remove_tree(link)
    assert (real / "a").read_text() == "x"
    assert not link.is_symlink()


def test_a_folder_that_is_held_stays_what_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("old")
    with OpenFolder(folder) as held:
        folder.rename(tmp_path / "other")
        folder.mkdir()
        (folder / "a").write_text("new")
        assert held.read("a") == b"old"
        assert not held.is_current


# Where files are removed other than by the gate: each is one whose name is not taken from data.
REMOVES = {
    "lrldata/paths.py": {"remove", "remove_tree"},
    "lrldata/lease.py": {"leased"},  # its own lease, named by a hash
    "lrldata/sending.py": {"put"},  # in the store, by a name that passed the gate
    "lrldata/conceptnet/download.py": None,  # a partial download, in a folder named by a hash
    "lrldata/conceptnet/index.py": {"_write_edges"},  # the clean copy and the rejects beside the index
    "lrldata/web/build.py": {"_build_one", "_write_parts"},  # the scratch folder, named by a hash
    "lrltrain/hub_cache.py": {"drop_damaged"},  # files of the Hub's cache that are damaged
}
REMOVERS = {"unlink", "rmtree", "rmdir", "removedirs", "rm_file", "rm"}


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield file, enclosing function and node of each call in the packages.

    The local Hub has a gate of its own, as its names are those of repositories and requests (limits.py, patterns.py);
    tests/local_hub/test_hostile*.py try it.
    """
    for package in ("lrldata", "lrltrain", "hub_cards"):
        for file in sorted((ROOT / package).rglob("*.py")):
            if file.is_relative_to(ROOT / "hub_cards" / "local_hub"):
                continue
            tree = ast.parse(file.read_text("utf-8"))
            owners = {
                inner: each.name
                for each in ast.walk(tree)
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                for inner in ast.walk(each)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    yield file.relative_to(ROOT).as_posix(), owners.get(node, ""), node


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def test_files_are_removed_through_the_gate() -> None:
    found = [
        f"{file}: {owner}"
        for file, owner, node in _calls()
        if _called(node) in REMOVERS
        and not (file in REMOVES and (REMOVES[file] is None or owner in (REMOVES[file] or ())))
    ]
    assert found == [], "remove files by lrldata.paths, or name the function in REMOVES, and say why"


def test_names_from_data_are_opened_through_the_gate() -> None:
    """A path that ends in `entry["path"]`, `row["name"]` and the like is one that data names."""
    found = []
    for file, owner, node in _calls():
        if file == "lrldata/paths.py":
            continue
        places = [*node.args, node.func.value if isinstance(node.func, ast.Attribute) else None]
        for place in filter(None, places):
            joins = [each for each in ast.walk(place) if isinstance(each, ast.BinOp) and isinstance(each.op, ast.Div)]
            if any(isinstance(each.right, ast.Subscript) for each in joins):
                found.append(f"{file}: {owner}")
    assert found == [], "open what data names by lrldata.paths"


def test_links_are_followed_nowhere() -> None:
    """`rglob` follows links to files, and `is_file` says yes to them: below an artifact, `walk` is what looks."""
    allowed = {
        ("lrldata/web/read.py", "find_shards"),  # documents that a person names
        ("lrltrain/artifact.py", "write_adapter"),  # of a folder made just now
        ("lrltrain/grid/jobs.py", "_stat"),  # inputs that a person names
    }
    found = [(file, owner) for file, owner, node in _calls() if _called(node) == "rglob"]
    assert set(found) <= allowed
