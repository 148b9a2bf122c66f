"""The server's data on disk: repositories, large files, collections, and the key that signs addresses. IO.

ROOT/repos/{models,datasets,spaces}/NAMESPACE/NAME.git    bare git repositories; hub.json has the other settings
ROOT/repos/{models,datasets,spaces}/NAMESPACE/NAME.moved  the new name of a moved repository
ROOT/lfs/AB/CD/SHA256                                     large files, shared by all repositories
ROOT/parts/SHA256/                                        parts of large files that are being uploaded
ROOT/collections/NAMESPACE/SLUG.json
ROOT/journal.jsonl  ROOT/key  ROOT/.lock
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hub_cards.local_hub import git
from hub_cards.local_hub.answers import no_repository, no_revision, refused
from hub_cards.local_hub.changes import Large, read_pointer
from hub_cards.local_hub.disk import read_json, write_bytes, write_json
from hub_cards.local_hub.git import Commit, Repository
from hub_cards.local_hub.patterns import DEFAULT_ATTRIBUTES

KINDS = {"model": "models", "dataset": "datasets", "space": "spaces"}
_INFO, _MOVED = "hub.json", ".moved"
_LENGTH = 96  # characters of a repository's name, including its namespace
_NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]*(?<![.-])")


@dataclass(frozen=True)
class Repo:
    """A repository on the Hub; `kind` is plural, as in paths of the API."""

    kind: str
    namespace: str
    name: str
    git: Repository

    @property
    def id(self) -> str:
        """Return the name including the namespace."""
        return f"{self.namespace}/{self.name}"

    @property
    def page(self) -> str:
        """Return the path of the repository's page; models have no prefix."""
        return self.id if self.kind == "models" else f"{self.kind}/{self.id}"

    @property
    def info(self) -> dict[str, Any]:
        """Return the settings that are not stored in git."""
        return dict(read_json(self.git.path / _INFO))

    @property
    def private(self) -> bool:
        """Return whether only members of its namespace see it."""
        return bool(self.info["private"])

    @property
    def gated(self) -> str | bool:
        """Return whether access to its files must be granted: `auto`, `manual` or False."""
        gated: str | bool = self.info.get("gated", False)
        return gated

    def change(self, **settings: object) -> None:
        """Change the settings that are not stored in git."""
        write_json(self.git.path / _INFO, self.info | settings)

    def at(self, revision: str) -> Commit:
        """Return the commit of a branch, tag or id. Raises 404 if there is none."""
        commit = self.git.resolve(revision)
        if commit is None:
            raise no_revision(revision)
        return commit

    def text(self, commit: Commit, path: str) -> str:
        """Return the text of a file in a commit; empty if it does not exist."""
        entry = self.git.flat(commit.tree).get(path)
        return self.git.read(entry.id)[1].decode("utf-8", "replace") if entry and entry.mode == git.FILE else ""

    def facts(self, blob: str) -> tuple[int, Large | None]:
        """Return the size of a file in bytes and, if it is a pointer, its large file."""
        return _facts(self.git, blob)


@lru_cache(maxsize=1 << 16)
def _facts(repository: Repository, blob: str) -> tuple[int, Large | None]:
    data = repository.read(blob)[1]
    large = read_pointer(data)
    return (large.size if large else len(data)), large


def stamp(seconds: float | None = None) -> str:
    """Return a time, by default the current one, in the Hub's format."""
    moment = time.gmtime(time.time() if seconds is None else seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", moment)


def _is_valid(namespace: str, name: str) -> bool:
    return max(len(namespace), len(name)) <= _LENGTH and bool(_NAME.fullmatch(namespace) and _NAME.fullmatch(name))


class Store:
    """The data of a server in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        if not (root / "key").exists():
            write_bytes(root / "key", secrets.token_bytes(32))
        self._key = (root / "key").read_bytes()
        self._open = lru_cache(maxsize=256)(Repository)

    def sign(self, what: str) -> str:
        """Return the signature that allows using an address without a token; it never expires."""
        return hmac.new(self._key, what.encode(), hashlib.sha256).hexdigest()

    def is_signed(self, what: str, signature: str) -> bool:
        """Return whether a signature was made by this server."""
        return hmac.compare_digest(self.sign(what).encode(), signature.encode())

    # Repositories

    def _folder(self, kind: str, namespace: str, name: str) -> Path:
        if not _is_valid(namespace, name):
            raise no_repository()
        return self.root / "repos" / kind / namespace / f"{name}.git"

    def repo(self, kind: str, namespace: str, name: str) -> Repo:
        """Return a repository by its current or a former name, ignoring case. Raises 404 if there is none."""
        if repo := self.named(kind, namespace, name):
            return repo
        if moved := read_json(self._folder(kind, namespace, name).with_suffix(_MOVED)):
            return self.repo(kind, moved["namespace"], moved["name"])
        raise no_repository()

    def named(self, kind: str, namespace: str, name: str) -> Repo | None:
        """Return the repository that currently has a name, ignoring case, or None."""
        if not _is_valid(namespace, name):
            return None
        folder = self._folder(kind, namespace, name)
        if folder.is_dir():
            return Repo(kind, namespace, name, self._open(folder))
        full_name = f"{namespace}/{name}".lower()
        return next((repo for repo in self.repos(kind) if repo.id.lower() == full_name), None)

    def repos(self, kind: str) -> Iterator[Repo]:
        """Yield all repositories of a kind, ordered by name."""
        for folder in sorted((self.root / "repos" / kind).glob("[!.]*/[!.]*.git")):
            yield Repo(kind, folder.parent.name, folder.name.removesuffix(".git"), self._open(folder))

    def create(self, kind: str, namespace: str, name: str, author: str, *, private: bool) -> Repo:
        """Create a repository with a .gitattributes in its first commit. Raises 400 if the name is not valid."""
        folder = self._new_folder(kind, namespace, name)
        unfinished = folder.with_name(f".{folder.name}.partial")
        if unfinished.exists():  # left by a server that was killed
            git.remove(Repository(unfinished))
        repository = Repository.create(unfinished)
        blob = repository.write("blob", DEFAULT_ATTRIBUTES.encode())
        now = int(time.time())
        tree = repository.write_tree({".gitattributes": blob})
        repository.set_ref("refs/heads/main", repository.write_commit(tree, (), author, now, "initial commit"))
        write_json(unfinished / _INFO, {"private": private, "createdAt": stamp(now)})
        self._place(unfinished, folder)
        return self.repo(kind, namespace, name)

    def _new_folder(self, kind: str, namespace: str, name: str) -> Path:
        """Return the folder of a new repository. Raises 400 if the name is not valid."""
        if not _NAME.fullmatch(name) or len(f"{namespace}/{name}") > _LENGTH or name.endswith(".git"):
            raise refused(400, f"Invalid repo name: {namespace}/{name}")
        return self._folder(kind, namespace, name)

    def _place(self, folder: Path, target: Path) -> None:
        """Move a repository to the folder of a name, which no longer redirects elsewhere."""
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
        target.with_suffix(_MOVED).unlink(missing_ok=True)

    def move(self, repo: Repo, namespace: str, name: str) -> None:
        """Rename a repository. Raises 400 if the name is not valid."""
        self._place(repo.git.path, self._new_folder(repo.kind, namespace, name))
        write_json(repo.git.path.with_suffix(_MOVED), {"namespace": namespace, "name": name})
        self._open.cache_clear()

    def delete(self, repo: Repo) -> None:
        """Delete a repository. Its large files stay, as other repositories may share them."""
        git.remove(repo.git)
        self._open.cache_clear()

    def commit(self, repo: Repo, ref: str, parent: Commit, files: dict[str, str], author: str, message: str) -> Commit:
        """Add a commit to a reference if it changes anything. Return the commit that the reference points to."""
        tree = repo.git.write_tree(files)
        if tree == parent.tree:
            return parent
        commit_id = repo.git.write_commit(tree, (parent.id,), author, int(time.time()), message)
        repo.git.set_ref(ref, commit_id)
        return repo.git.commit(commit_id)

    # Large files

    def large(self, oid: str) -> Path:
        """Return the path of a large file, whether or not it exists."""
        return self.root / "lfs" / oid[:2] / oid[2:4] / oid

    def part(self, oid: str, number: int) -> Path:
        """Return the path of a part of a large file."""
        return self.root / "parts" / oid / f"{number:05}"

    # Collections

    def collection(self, namespace: str, slug: str) -> Path:
        """Return the path of a collection. Raises 404 if the name is not valid."""
        if not (_is_valid(namespace, "_") and re.fullmatch(r"[A-Za-z0-9_-]{1,150}", slug)):
            raise refused(404, "Collection not found")
        return self.root / "collections" / namespace / f"{slug}.json"

    def find_collection(self, namespace: str, slug: str) -> dict[str, Any] | None:
        """Return a collection by its current slug, or by a former one, which has the same ending."""
        ending = slug.rpartition("-")[2]
        path = self.collection(namespace, slug)
        value: dict[str, Any] | None = read_json(path)
        return value or next((read_json(other) for other in sorted(path.parent.glob(f"[!.]*-{ending}.json"))), None)

    def collections(self) -> Iterator[dict[str, Any]]:
        """Yield all collections, ordered by slug."""
        for path in sorted((self.root / "collections").glob("[!.]*/[!.]*.json")):
            yield read_json(path)
