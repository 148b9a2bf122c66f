"""The pipeline of `lrl push-hub`: plan the changes to each repository, then apply them."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from hub_cards.artifacts import open_workspace
from hub_cards.config import PushConfig
from hub_cards.publish.hub import Account, Collection, Hub
from hub_cards.publish.plan import Plan, make_plan
from hub_cards.publish.repository import File, Kind, LocalFile
from hub_cards.publish.retry import Patience
from hub_cards.publish.selection import languages_of, note_unused_licence, plans_of
from lrldata.errors import PublishError, UsageError
from lrldata.output import note
from lrldata.progress import Progress
from lrldata.workspace import requested_codes

UNREACHED = 20.0  # seconds that planning waits for a Hub that does not respond; there may be no network


@dataclass(frozen=True)
class Published:
    """A published repository; `action` is the first change that was made, or `unchanged`."""

    id: str
    kind: Kind
    url: str
    version: str
    action: str
    private: bool


@dataclass(frozen=True)
class UpdatedCollection:
    """The collection of a language, and the number of repositories added to it."""

    title: str
    url: str
    added: int


@dataclass(frozen=True)
class Prepared:
    """The plans for the repositories of each language, in the order of publication, and the languages' collections.

    `plan_again` returns the current plans of a language, given its code and the `patience` with the Hub.
    """

    namespace: str
    plans_by_language: Mapping[str, tuple[Plan, ...]]
    collections: tuple[Collection, ...]
    plan_again: Callable[..., Iterable[Plan]]

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Return the plans for all repositories."""
        return tuple(plan for plans in self.plans_by_language.values() for plan in plans)


def prepare(config: PushConfig, hub: Hub, progress: Progress) -> Prepared:
    """Find the requested artifacts in the workspace, read their repositories on the Hub, and plan. Nothing is written.

    Raises UsageError for an invalid request, PublishError if the Hub refuses a request or a plan is not possible.
    """
    patience = Patience(config.patience, UNREACHED)
    account = _check_account(config, hub, patience)
    namespace = config.namespace or (account.name if account else "")
    with progress.waiting("Checking the workspace"):
        workspace = open_workspace(config.out, set(requested_codes(config.lang, config.out)) if config.lang else None)
    codes = languages_of(config, workspace)
    for folder in workspace.unfinished:
        note(f"{folder} is not finished, so it is not published.")
    plan_language = partial(plans_of, workspace=workspace, config=config, namespace=namespace, hub=hub)
    plans: dict[str, Plan] = {}
    plans_by_language: dict[str, tuple[Plan, ...]] = {}
    collections: list[Collection] = []
    with progress.items("Planning", len(codes)) as begin:
        for code in codes:
            begin(code)
            language_plans = list(plan_language(code, patience=patience))
            for plan in language_plans:
                _check_duplicates(plan, plans.get(plan.repository.id))
                if plan.repository.id not in plans:  # all languages share lrl-mini
                    plans_by_language[code] = (*plans_by_language.get(code, ()), plan)
                plans[plan.repository.id] = plan
            if config.collection and language_plans:
                items = tuple((plan.repository.id, plan.repository.kind) for plan in language_plans)
                collections.append(Collection.of(workspace.language(code).name, items))
    if not plans:
        raise UsageError(
            "nothing in the workspace matches --kind, --source and --method.", "See `lrl push-hub --help`."
        )
    note_unused_licence(config, plans.values())
    return Prepared(namespace, plans_by_language, tuple(collections), plan_language)


def publish(prepared: Prepared, config: PushConfig, hub: Hub, progress: Progress) -> list[Published]:
    """Apply the plans. A repository that has changed since is planned again. Raises PublishError."""
    refuse_conflicts(prepared.plans)
    patience = Patience(config.patience)
    published: list[Published] = []
    with progress.items("Publishing", len(prepared.plans)) as begin:
        for code, plans in prepared.plans_by_language.items():
            pending = deque(plans)
            while pending:
                plan = pending.popleft()
                begin(plan.repository.id)
                result = patience.retry_until_done(plan.repository.id, _converge(plan, config, hub))
                published.append(result)
                if plan.repository.kind == "dataset" and not _is_as_planned(result, plan, config):
                    # The cards of the adapters name its version, and show a line of it if it is public.
                    names = {other.repository.id for other in pending}
                    current = prepared.plan_again(code, patience=patience)
                    pending = deque(again for again in current if again.repository.id in names)
                    refuse_conflicts(pending)
    return published


def _is_as_planned(result: Published, plan: Plan, config: PushConfig) -> bool:
    """Return whether a repository has the planned version and, if it is new, the assumed visibility."""
    return result.version == plan.version and (plan.tip is not None or result.private == config.private)


def collect(
    prepared: Prepared, published: Sequence[Published], config: PushConfig, hub: Hub, progress: Progress
) -> tuple[list[UpdatedCollection], list[str]]:
    """Add the repositories to the collections of their languages; also return the messages of failures.

    A collection is private if all repositories are: in some organisations, that is the default.
    """
    patience = Patience(config.patience)
    private = all(item.private for item in published)
    collected: list[UpdatedCollection] = []
    failures: list[str] = []
    for collection in prepared.collections:
        with progress.waiting(f"Collecting {collection.title}"):
            gather = partial(hub.collect, prepared.namespace, collection, private=private)
            try:
                slug, added = patience.retry_until_done(f"the collection {collection.title!r}", gather)
            except PublishError as error:
                failures.append(error.message)
            else:
                collected.append(UpdatedCollection(collection.title, f"{hub.endpoint}/collections/{slug}", added))
    return collected, failures


def _converge(planned: Plan, config: PushConfig, hub: Hub) -> Callable[[], Published | None]:
    """Return a step that applies a plan. Called again, it reads the current state and makes only the missing changes.

    Changes by a run that was killed, or in a request whose response was lost, are therefore not repeated.
    """
    repository = planned.repository
    next_plan: Plan | None = planned
    done: list[str] = []

    def current_plan() -> Plan:
        remote = hub.read(repository.id, repository.kind)
        return make_plan(repository, remote, config.version, config.card, replace_data=config.replace_data)

    def step() -> Published | None:
        nonlocal next_plan
        plan, next_plan = next_plan or current_plan(), None
        refuse_conflicts([plan])
        commit = plan.tip
        if commit is None:
            if "created" in done:
                raise PublishError(f"{repository.id}: exists, but this token cannot see it.", "Check who owns it.")
            hub.create(repository.id, repository.kind, private=config.private)
            done.append("created")
            return None  # read again: a new repository starts with a commit by the Hub
        if plan.missing_tag:
            hub.tag(repository, plan.missing_tag, commit)
        if plan.action == "update":
            done.append("updated")
            commit = hub.commit(
                plan, commit, message=f"{repository.what} v{plan.version}", description="\n".join(plan.change_notes)
            )
        if plan.action != "unchanged":
            done.append("tagged")
            hub.tag(repository, plan.version, commit)
        place = "datasets/" if repository.kind == "dataset" else ""
        url = f"{hub.endpoint}/{place}{repository.id}"
        action = next(iter(done), "unchanged")
        return Published(repository.id, repository.kind, url, plan.version, action, plan.private)

    return step


def _check_duplicates(plan: Plan, other: Plan | None) -> None:
    """Raise UsageError if two folders would be published as one repository. All languages share lrl-mini."""
    if other and plan.repository.what != "base":
        first, second = (next(map(_place_of, item.repository.files), "") for item in (other, plan))
        raise UsageError(
            f"{plan.repository.id}: two folders map to this repository, with {first} and {second}.", "Move one away."
        )


def _place_of(file: File) -> str:
    return str(file.content.folder) if isinstance(file.content, LocalFile) else file.path


def refuse_conflicts(plans: Iterable[Plan]) -> None:
    """Raise PublishError if a plan changes a part of a card that a person has edited."""
    lines = [f"{plan.repository.id}:\n{conflict}" for plan in plans for conflict in plan.conflicts]
    if lines:
        raise PublishError(
            "This push would overwrite card sections edited on the Hub. Use --card theirs to keep what is there, or "
            "--card ours to replace it:\n" + "\n".join(lines),
        )


def _check_account(config: PushConfig, hub: Hub, patience: Patience) -> Account | None:
    """Return the token's account after checking its write access. A dry run needs no token."""
    if hub.token is None and config.dry_run:
        if config.namespace is None:
            raise UsageError("--namespace is missing.", "It is required when no token is set.")
        return None
    account = patience.retry_until_done("the token", hub.account)
    namespace = config.namespace or account.name
    if namespace not in account.namespaces:
        writable = ", ".join(account.namespaces) or "nowhere"
        raise PublishError(
            f"the token of {account.name} ({account.role}) cannot write to {namespace}. It can write to: {writable}.",
            "Use a token with write access there, or another --namespace.",
        )
    return account
