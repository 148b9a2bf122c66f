"""A bare git repository: loose objects and references that git itself can read and check. IO.

It implements only what this server needs, without calling git: objects are content-addressed files, and a reference is
a file with an id. Objects are written before the reference that makes them visible, so a killed server leaves at most
unreferenced objects. Nothing here reads packs, so do not run `git gc` on a served repository.
"""

import hashlib
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hub_cards.local_hub.disk import write_bytes

FOLDER, FILE = "40000", "100644"
_SMALL, _KEPT = 16 << 10, 512  # maximum bytes of an object cached in memory; maximum number of them
_ID = re.compile(r"[0-9a-f]{7,40}")  # fewer digits could match too many objects
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
# The rules of `git check-ref-format`, without names that a URL or a file system could misread.
_REF_NAME = re.compile(
    r"(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)|/\.|\.$|/$))[^\x00-\x20\x7f~^:?*\[\\./][^\x00-\x20\x7f~^:?*\[\\]*"
)


@dataclass(frozen=True)
class Commit:
    """A commit; `when` is in seconds since 1970 (UTC)."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: str
    when: int
    message: str

    @property
    def title(self) -> str:
        """Return the first line of the message."""
        return self.message.partition("\n")[0]

    @property
    def body(self) -> str:
        """Return the message without its first line."""
        return self.message.partition("\n")[2].strip()


@dataclass(frozen=True)
class Entry:
    """A file or folder in a tree: its mode and the id of its blob or tree."""

    mode: str
    id: str


def blob_id(data: bytes) -> str:
    """Return the id that git gives to a file with these bytes."""
    return _id_of("blob", data)


def is_ref_name(name: str) -> bool:
    """Return whether this can be the name of a reference."""
    # The reference is a file of this name, next to a temporary file with a longer name.
    return len(name.encode()) <= 200 and _REF_NAME.fullmatch(name) is not None


def _id_of(kind: str, data: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)) + data, usedforsecurity=False).hexdigest()


class Repository:
    """A bare repository in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Objects never change, so cached ones stay valid.
        self._known: dict[str, tuple[str, bytes]] = {}
        self.flat = lru_cache(maxsize=64)(self._flat)

    @classmethod
    def create(cls, path: Path) -> "Repository":
        """Create the files of an empty repository whose branch is `main`."""
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            (path / folder).mkdir(parents=True)
        (path / "HEAD").write_text("ref: refs/heads/main\n", "utf-8")
        (path / "config").write_text(_CONFIG, "utf-8")
        return cls(path)

    # Objects

    def _object(self, name: str) -> Path:
        return self.path / "objects" / name[:2] / name[2:]

    def write(self, kind: str, data: bytes) -> str:
        """Store an object and return its id."""
        name = _id_of(kind, data)
        if not self._object(name).exists():
            write_bytes(self._object(name), zlib.compress(b"%s %d\0" % (kind.encode(), len(data)) + data, 1))
        return name

    def read(self, name: str) -> tuple[str, bytes]:
        """Return the kind and the bytes of an object. Raises KeyError if it does not exist."""
        value = self._known.get(name) or self._read(name)
        if len(value[1]) <= _SMALL:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[name] = value
        return value

    def _read(self, name: str) -> tuple[str, bytes]:
        try:
            raw = zlib.decompress(self._object(name).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(name) from None
        header, _, data = raw.partition(b"\0")
        return header.split(b" ")[0].decode(), data

    def tree(self, name: str) -> dict[str, Entry]:
        """Return the entries of a tree by name."""
        _, data = self.read(name)
        entries, position = {}, 0
        while position < len(data):
            end = data.index(b"\0", position)
            mode, _, path = data[position:end].partition(b" ")
            entries[path.decode()] = Entry(mode.decode(), data[end + 1 : end + 21].hex())
            position = end + 21
        return entries

    def write_tree(self, files: dict[str, str]) -> str:
        """Store the trees of files, given as blob ids by path, and return the id of the root tree."""
        entries: dict[str, Entry] = {}
        folders: dict[str, dict[str, str]] = {}
        for path, name in files.items():
            head, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(head, {})[rest] = name
            else:
                entries[head] = Entry(FILE, name)
        for head, inside in folders.items():
            entries[head] = Entry(FOLDER, self.write_tree(inside))
        # git sorts a folder as if its name ended with a slash.
        order = sorted(entries, key=lambda name: name.encode() + (b"/" if entries[name].mode == FOLDER else b""))
        data = b"".join(
            b"%s %s\0%s" % (entries[name].mode.encode(), name.encode(), bytes.fromhex(entries[name].id))
            for name in order
        )
        return self.write("tree", data)

    def _flat(self, name: str) -> dict[str, Entry]:
        """Return all files and folders below a tree by path, each folder before its content."""
        entries = {}
        for head, entry in self.tree(name).items():
            entries[head] = entry
            if entry.mode == FOLDER:
                entries |= {f"{head}/{rest}": inner for rest, inner in self._flat(entry.id).items()}
        return entries

    def write_commit(self, tree: str, parents: tuple[str, ...], author: str, when: int, message: str) -> str:
        """Store a commit and return its id."""
        person = f"{_plain(author)} <{_plain(author)}@localhost> {when} +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {person}", f"committer {person}"]
        return self.write("commit", ("\n".join(lines) + f"\n\n{message.replace(chr(0), '')}\n").encode())

    def write_tag(self, name: str, commit: str, author: str, when: int, message: str) -> str:
        """Store an annotated tag of a commit and return the id of the tag."""
        person = f"{_plain(author)} <{_plain(author)}@localhost> {when} +0000"
        head = f"object {commit}\ntype commit\ntag {name}\ntagger {person}\n"
        return self.write("tag", f"{head}\n{message.replace(chr(0), '')}\n".encode())

    def commit(self, name: str) -> Commit:
        """Return the commit with an id, or the commit of the tag with that id. Raises KeyError if there is none."""
        kind, data = self.read(name)
        if kind not in {"commit", "tag"}:
            raise KeyError(name)
        head, _, message = data.decode().partition("\n\n")
        if kind == "tag":
            return self.commit(head.partition("\n")[0].removeprefix("object "))
        fields = [line.partition(" ")[::2] for line in head.split("\n")]
        author, when, _ = next(value for key, value in fields if key == "author").rsplit(" ", 2)
        return Commit(
            id=name,
            tree=next(value for key, value in fields if key == "tree"),
            parents=tuple(value for key, value in fields if key == "parent"),
            author=author.partition(" <")[0],
            when=int(when),
            message=message.removesuffix("\n"),
        )

    def history(self, commit: Commit) -> Iterator[Commit]:
        """Yield a commit and its ancestors, the newest first."""
        yield commit
        while commit.parents:
            commit = self.commit(commit.parents[0])
            yield commit

    # References

    def ref(self, name: str) -> str | None:
        """Return the id that a full reference name (`refs/heads/main`) points to, or None."""
        try:
            return (self.path / name).read_text("utf-8").strip()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def set_ref(self, name: str, target: str) -> None:
        """Point a reference to an object. Raises OSError if `a` and `a/b` would both exist, which git forbids."""
        write_bytes(self.path / name, f"{target}\n".encode())

    def delete_ref(self, name: str) -> None:
        """Remove a reference."""
        (self.path / name).unlink()

    def refs(self, below: str) -> dict[str, Commit]:
        """Return the commits of the references below a prefix (`refs/heads/`), by short name."""
        root = self.path / below
        files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.endswith(".partial"))
        names = [path.relative_to(root).as_posix() for path in files]
        return {name: self.commit((root / name).read_text("utf-8").strip()) for name in names}

    def resolve(self, revision: str) -> Commit | None:
        """Return the commit that a branch, tag, full reference or id names; an id needs at least seven digits."""
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if is_ref_name(revision) and name.startswith("refs/") and (target := self.ref(name)):
                return self.commit(target)
        commits = []
        for name in self._ids_with_prefix(revision):
            with suppress(KeyError):
                commits.append(self.commit(name))
        return commits[0] if len(commits) == 1 else None

    def _ids_with_prefix(self, digits: str) -> list[str]:
        """Return the ids of all objects that start with these digits."""
        if not _ID.fullmatch(digits):
            return []
        return [digits[:2] + path.name for path in (self.path / "objects" / digits[:2]).glob(f"{digits[2:]}*")]


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "", name) or "nobody"


def remove(repository: Repository) -> None:
    """Delete a repository: hide it at once, then remove its files."""
    hidden = repository.path.with_name(f".{repository.path.name}.gone")
    shutil.rmtree(hidden, ignore_errors=True)
    repository.path.rename(hidden)
    shutil.rmtree(hidden)
