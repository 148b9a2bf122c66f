"""Access to the Hub through huggingface_hub 0.36 to 2.x: accounts, repositories, commits, tags, collections. IO."""

import re
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, file_download, get_token
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars  # type: ignore[attr-defined]

from hub_cards.publish.plan import README, Plan
from hub_cards.publish.record import RECORD, order_of, read_record, tag_of
from hub_cards.publish.repository import File, Kind, Repository
from hub_cards.publish.state import RemoteFile, RemoteRepository
from lrldata import __version__
from lrldata.errors import PublishError, UsageError
from lrldata.network import is_private

MAIN = "main"
LONGEST_TITLE = 59  # characters of a collection's title that the Hub accepts
IN_MEMORY = 4_000_000  # bytes; a file up to this size is read into memory before it is uploaded
_FORM = "HUGGINGFACE_CO_URL_TEMPLATE"
_MAY_WRITE = {"admin", "write", "contributor"}
_LOGIN = "Log in with `hf auth login`, or set HF_TOKEN to a token with write access."


@contextmanager
def plain_client(endpoint: str) -> Iterator[None]:
    """Disable progress bars and Xet, which not all versions of huggingface_hub support; restore both on exit.

    huggingface_hub 0.36 forms and parses some addresses with its default endpoint, so that is set too.
    """
    bars = not are_progress_bars_disabled()
    # Read in each call, whereas the environment variables are read only on import.
    settings: list[tuple[Any, str, Any]] = [(constants, "HF_HUB_DISABLE_XET", True)]
    if form := getattr(file_download, _FORM, ""):  # newer versions do not have it
        settings += [
            (constants, "ENDPOINT", endpoint),
            (file_download, _FORM, endpoint + form[len(constants.ENDPOINT) :]),
        ]
    before = [(module, name, getattr(module, name)) for module, name, _ in settings]
    for module, name, value in settings:
        setattr(module, name, value)
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
        if bars:
            enable_progress_bars()


@dataclass(frozen=True)
class Account:
    """The owner of the token, the token's `role`, and the namespaces in which it may write."""

    name: str
    role: str
    namespaces: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """A collection, identified by its title, with the repositories that it should contain."""

    title: str
    description: str
    items: tuple[tuple[str, Kind], ...]

    @classmethod
    def of(cls, language: str, items: tuple[tuple[str, Kind], ...]) -> "Collection":
        """Return the collection of a language."""
        description = f"Datasets and adapters that teach language models {language}."
        title = f"{language}: text and language adapters"
        return cls(textwrap.shorten(title, LONGEST_TITLE, placeholder=" ..."), description, items)


def _addition(file: File, repository: str, stack: ExitStack) -> CommitOperationAdd:
    """Return the operation that adds a file to a commit; the file is opened once. Raises PublishError if it changed."""
    content: Any  # bytes, or an open file
    try:
        if isinstance(file.content, bytes):
            content = file.content
        elif file.size <= IN_MEMORY:
            content = file.content.read()
        else:
            content = stack.enter_context(file.content.open())
        addition = CommitOperationAdd(file.path, content)
    except FileNotFoundError:
        addition = None
    if addition is None or addition.upload_info.sha256.hex() != file.sha256:
        raise PublishError(
            f"{repository}: {file.path} changed while it was being published, so nothing was uploaded.",
            "Run the command again when no build is writing to that folder.",
        )
    return addition


class Hub:
    """A Hub at an endpoint. Without a token, only public repositories can be read."""

    def __init__(self, endpoint: str | None = None, token: str | None = None, *, allow_http: bool = False) -> None:
        self.token = (token or get_token() or "").strip() or None
        if self.token and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise PublishError("the token contains characters that are invalid in a token.", _LOGIN)
        self._api = HfApi(endpoint=endpoint, token=self.token or False, library_name="lrl", library_version=__version__)
        self.endpoint = str(self._api.endpoint)
        if self.token and not allow_http and not is_private(self.endpoint):
            raise UsageError(
                f"{self.endpoint}: the token would be sent over an unencrypted connection.",
                "Use https, or --allow-http to send it anyway.",
            )

    def account(self) -> Account:
        """Return the account of the token. Raises PublishError if there is no token."""
        if not self.token:
            raise PublishError("no Hub token is set.", _LOGIN)
        user = self._api.whoami()
        access = user.get("auth", {}).get("accessToken", {})
        role = str(access.get("role", "unknown"))
        role_in = {user["name"]: "admin"} | {org["name"]: org.get("roleInOrg", "write") for org in user.get("orgs", [])}
        if role == "fineGrained":
            scoped = access.get("fineGrained", {}).get("scoped", [])
            names = {scope["entity"]["name"] for scope in scoped if "repo.write" in scope.get("permissions", [])}
            writable = {name.partition("/")[0] for name in names}  # of a namespace, or of a repository in it
        else:
            writable = set() if role == "read" else set(role_in)
        allowed = tuple(
            name for name, namespace_role in role_in.items() if namespace_role in _MAY_WRITE and name in writable
        )
        return Account(str(user["name"]), role, allowed)

    def read(self, identifier: str, kind: Kind) -> RemoteRepository:
        """Return the content of a repository at its tip, or an empty RemoteRepository if none is visible."""
        try:
            info = self._api.repo_info(identifier, repo_type=kind)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return RemoteRepository()
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
        return RemoteRepository(tip, bool(info.private), files, tags, readme, record, bool(info.gated))

    def _lost_record(self, identifier: str, kind: Kind, tags: frozenset[str]) -> str | None:
        """Return the record of the newest version that has one, if the tip has lost it."""
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
                raise PublishError(f"{identifier}: {name} on the Hub is not UTF-8.", "Fix it on the Hub.") from error

    def create(self, identifier: str, kind: Kind, *, private: bool) -> None:
        """Create a repository; an existing one is left unchanged.

        Unless it is to be private, its owner's default decides, because organisations can make new ones private.
        """
        self._api.create_repo(identifier, repo_type=kind, private=True if private else None, exist_ok=True)

    def commit(self, plan: Plan, tip: str, *, message: str, description: str = "") -> str:
        """Commit all changes of a plan on top of `tip`, and return the commit's id.

        The uploaded bytes are those that were hashed: each file is opened once, and the uploaded files are compared.
        """
        with ExitStack() as stack:
            operations: list[Any] = [_addition(file, plan.repository.id, stack) for file in plan.files]
            operations += [CommitOperationDelete(path) for path in plan.removed]
            created = self._api.create_commit(
                plan.repository.id,
                operations,
                commit_message=message,
                commit_description=description,
                repo_type=plan.repository.kind,
                revision=MAIN,
                parent_commit=tip,
            )
        self._check_arrived(plan, str(created.oid))
        return str(created.oid)

    def _check_arrived(self, plan: Plan, commit: str) -> None:
        """Compare the hashes of the files in a commit with those that were sent. Raises PublishError if any differs."""
        repository, sent = plan.repository, {file.path: file for file in plan.files}
        entries = self._api.get_paths_info(repository.id, list(sent), revision=commit, repo_type=repository.kind)
        intact = {
            entry.path
            for entry in entries
            if isinstance(entry, RepoFile)
            and (entry.lfs.sha256 == sent[entry.path].sha256 if entry.lfs else entry.blob_id == sent[entry.path].blob)
        }
        if damaged := sorted(sent.keys() - intact):
            raise PublishError(
                f"{repository.id}: at {commit}, files on the Hub differ from those sent: {', '.join(damaged[:5])}.",
                "No version was tagged. Run the same command again, with --replace-data.",
            )

    def tag(self, repository: Repository, version: str, commit: str) -> None:
        """Set the tag of a version on a commit."""
        self._api.create_tag(
            repository.id, tag=tag_of(version), revision=commit, repo_type=repository.kind, exist_ok=True
        )

    def collect(self, namespace: str, collection: Collection, *, private: bool) -> tuple[str, int]:
        """Create a collection if needed and add missing items. Returns its slug and the number of items added."""
        slug, present = self._collection(namespace, collection.title)
        missing = [item for item in collection.items if item not in present]
        if slug is None:
            created = self._api.create_collection(
                collection.title,
                namespace=namespace,
                description=collection.description,
                private=private,
                exists_ok=True,
            )
            slug = created.slug
        for identifier, kind in missing:
            self._api.add_collection_item(slug, item_id=identifier, item_type=kind, exists_ok=True)
        return slug, len(missing)

    def _collection(self, namespace: str, title: str) -> tuple[str | None, set[tuple[str, str]]]:
        """Return the slug of the collection with this title, or None, and the items it contains."""
        for collection in self._api.list_collections(owner=namespace):
            if collection.title == title:
                full = self._api.get_collection(collection.slug)
                return collection.slug, {(item.item_id, item.item_type) for item in full.items}
        return None, set()
