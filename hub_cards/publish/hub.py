"""The Hub, by way of huggingface_hub 0.36 to 2.x: accounts, repositories, commits, tags, collections. IO."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars  # type: ignore[attr-defined]

from hub_cards.publish.plan import README, Plan, Remote, RemoteFile
from hub_cards.publish.record import RECORD, order_of, read_record, tag_of
from hub_cards.publish.repository import File, Kind, Repository
from lrldata import __version__
from lrldata.errors import PublishError, UsageError
from lrldata.network import is_private

MAIN = "main"
IN_MEMORY = 4_000_000  # bytes up to which a file is read whole before it is sent
_MAY_WRITE = {"admin", "write", "contributor"}
_LOGIN = "Log in with `hf auth login`, or set HF_TOKEN to a token with write access."


@contextmanager
def plain_client() -> Iterator[None]:
    """Let huggingface_hub draw no bars, and speak the one protocol that all its versions do; afterwards, as before."""
    bars, xet = not are_progress_bars_disabled(), constants.HF_HUB_DISABLE_XET
    constants.HF_HUB_DISABLE_XET = True  # looked up in each upload; the variable, as the client is imported
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = xet
        if bars:
            enable_progress_bars()


@dataclass(frozen=True)
class Account:
    """Whose the token is, what it may do (`role`), and the namespaces in which it may write."""

    name: str
    role: str
    namespaces: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """A collection by its title, with the repositories that it is to hold."""

    title: str
    description: str
    items: tuple[tuple[str, Kind], ...]

    @classmethod
    def of(cls, language: str, items: tuple[tuple[str, Kind], ...]) -> "Collection":
        """Return the collection of a language."""
        description = f"Datasets and adapters that teach language models {language}."
        return cls(f"{language}: text and language adapters", description, items)


def _addition(file: File, repository: str, opened: ExitStack) -> CommitOperationAdd:
    """Return what adds a file to a commit, from one opening of it. Raises PublishError where it is another one now."""
    content: Any  # bytes, or an open file
    try:
        if isinstance(file.content, bytes):
            content = file.content
        elif file.size <= IN_MEMORY:
            content = file.content.read()
        else:
            content = opened.enter_context(file.content.open())
        addition = CommitOperationAdd(file.path, content)
    except FileNotFoundError:
        addition = None
    if addition is None or addition.upload_info.sha256.hex() != file.sha256:
        raise PublishError(
            f"{repository}: {file.path} was changed while it was being published, and nothing of it was sent.",
            "Give the same command again when nothing is built there.",
        )
    return addition


class Hub:
    """One Hub, at an endpoint, with a token; without one, what is public can be read."""

    def __init__(self, endpoint: str | None = None, token: str | None = None, *, allow_http: bool = False) -> None:
        self.token = (token or get_token() or "").strip() or None
        if self.token and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise PublishError("the token has characters that no token has.", _LOGIN)
        self._api = HfApi(endpoint=endpoint, token=self.token or False, library_name="lrl", library_version=__version__)
        self.endpoint = str(self._api.endpoint)
        if self.token and not allow_http and not is_private(self.endpoint):
            raise UsageError(
                f"{self.endpoint}: the token would be sent where others on the way can read it.",
                "Use https, or --allow-http if that is what you want.",
            )

    def account(self) -> Account:
        """Return whose the token is. Raises PublishError without one."""
        if not self.token:
            raise PublishError("no token of the Hub is set.", _LOGIN)
        told = self._api.whoami()
        access = told.get("auth", {}).get("accessToken", {})
        role = str(access.get("role", "unknown"))
        member = {told["name"]: "admin"} | {
            each["name"]: each.get("roleInOrg", "write") for each in told.get("orgs", [])
        }
        if role == "fineGrained":
            scoped = access.get("fineGrained", {}).get("scoped", [])
            given = {each["entity"]["name"] for each in scoped if "repo.write" in each.get("permissions", [])}
        else:
            given = set() if role == "read" else set(member)
        allowed = tuple(name for name, place in member.items() if place in _MAY_WRITE and name in given)
        return Account(str(told["name"]), role, allowed)

    def read(self, identifier: str, kind: Kind) -> Remote:
        """Return what a repository holds at its tip; an empty Remote where there is none that we may see."""
        try:
            info = self._api.repo_info(identifier, repo_type=kind)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return Remote()
        tip = str(info.sha)
        tree = self._api.list_repo_tree(identifier, recursive=True, revision=tip, repo_type=kind)
        files = {
            entry.path: RemoteFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
            for entry in tree
            if isinstance(entry, RepoFile)
        }
        tags = frozenset(tag.name for tag in self._api.list_repo_refs(identifier, repo_type=kind).tags)
        readme = self._text(identifier, kind, README, tip) if README in files else None
        text = (
            self._text(identifier, kind, RECORD, tip) if RECORD in files else self._lost_record(identifier, kind, tags)
        )
        record = read_record(identifier, text) if text is not None else None
        return Remote(tip, bool(info.private), files, tags, readme, record)

    def _lost_record(self, identifier: str, kind: Kind, tags: frozenset[str]) -> str | None:
        """Return the record of the newest version that has one, where it is gone from the tip."""
        versions = sorted((tag[1:] for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)), key=order_of)
        for version in reversed(versions):
            if self._api.file_exists(identifier, RECORD, repo_type=kind, revision=tag_of(version)):
                return self._text(identifier, kind, RECORD, tag_of(version))
        return None

    def _text(self, identifier: str, kind: Kind, name: str, revision: str) -> str:
        with tempfile.TemporaryDirectory(prefix="lrl-") as folder:
            path = self._api.hf_hub_download(identifier, name, repo_type=kind, revision=revision, cache_dir=folder)
            try:
                return Path(path).read_bytes().decode("utf-8")
            except UnicodeDecodeError as error:
                raise PublishError(f"{identifier}: {name} on the Hub is not UTF-8.", "Fix it there.") from error

    def create(self, identifier: str, kind: Kind, *, private: bool) -> None:
        """Make a repository; one that is there already is left as it is."""
        self._api.create_repo(identifier, repo_type=kind, private=private, exist_ok=True)

    def commit(self, plan: Plan, tip: str, *, message: str, description: str = "") -> str:
        """Make one commit of all that a plan changes, on top of `tip`, and return its name.

        What is sent is what was hashed: each file is read from one opening, and what arrived is compared.
        """
        with ExitStack() as opened:
            operations: list[Any] = [_addition(file, plan.repository.id, opened) for file in plan.files]
            operations += [CommitOperationDelete(path) for path in plan.removed]
            done = self._api.create_commit(
                plan.repository.id,
                operations,
                commit_message=message,
                commit_description=description,
                repo_type=plan.repository.kind,
                revision=MAIN,
                parent_commit=tip,
            )
        self._check_arrived(plan, str(done.oid))
        return str(done.oid)

    def _check_arrived(self, plan: Plan, commit: str) -> None:
        """Hold what the Hub says that a commit has against what was to be sent. Raises PublishError."""
        repository, sent = plan.repository, {file.path: file for file in plan.files}
        found = self._api.get_paths_info(repository.id, list(sent), revision=commit, repo_type=repository.kind)
        same = {
            entry.path
            for entry in found
            if isinstance(entry, RepoFile)
            and (entry.lfs.sha256 == sent[entry.path].sha256 if entry.lfs else entry.blob_id == sent[entry.path].blob)
        }
        if others := sorted(sent.keys() - same):
            raise PublishError(
                f"{repository.id}: at {commit} the Hub has other bytes than were sent of: {', '.join(others[:5])}.",
                "No version was tagged. Give the same command again.",
            )

    def tag(self, repository: Repository, version: str, commit: str) -> None:
        """Set the tag of a version on a commit."""
        self._api.create_tag(
            repository.id, tag=tag_of(version), revision=commit, repo_type=repository.kind, exist_ok=True
        )

    def collect(self, namespace: str, wanted: Collection, *, private: bool) -> tuple[str, int]:
        """See that a collection is there and holds what it is to; return its slug and how many were added."""
        slug, held = self._collection(namespace, wanted.title)
        missing = [item for item in wanted.items if item not in held]
        if slug is None:
            made = self._api.create_collection(
                wanted.title, namespace=namespace, description=wanted.description, private=private, exists_ok=True
            )
            slug = made.slug
        for identifier, kind in missing:
            self._api.add_collection_item(slug, item_id=identifier, item_type=kind, exists_ok=True)
        return slug, len(missing)

    def _collection(self, namespace: str, title: str) -> tuple[str | None, set[tuple[str, str]]]:
        """Return the slug of the collection with this title, None where there is none, and what it holds."""
        for each in self._api.list_collections(owner=namespace):
            if each.title == title:
                whole = self._api.get_collection(each.slug)
                return each.slug, {(item.item_id, item.item_type) for item in whole.items}
        return None, set()
