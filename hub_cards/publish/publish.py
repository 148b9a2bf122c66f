"""The pipeline of `lrl push-hub`: plan the changes to each repository, then apply them."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from hub_cards.artifacts import Adapter, Dataset, Workspace, open_workspace
from hub_cards.cards import licenses
from hub_cards.cards.licenses import License
from hub_cards.cards.lint import is_repository
from hub_cards.cards.rebuild import MINI
from hub_cards.cards.source import source_of
from hub_cards.config import PushConfig
from hub_cards.publish.hub import Account, Collection, Hub
from hub_cards.publish.plan import Plan, RemoteRepository, make_plan
from hub_cards.publish.repository import (
    Kind,
    Repository,
    adapter_id,
    adapter_repository,
    base_repository,
    dataset_repository,
)
from hub_cards.publish.retry import Patience
from lrldata.errors import PublishError, UsageError
from lrldata.manifest import reporting_invalid_content
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


@dataclass(frozen=True)
class UpdatedCollection:
    """The collection of a language, and the number of repositories added to it."""

    title: str
    url: str
    added: int


@dataclass(frozen=True)
class Prepared:
    """The plans for all repositories, in the order of publication, and the collections that group them."""

    namespace: str
    plans: tuple[Plan, ...]
    collections: tuple[Collection, ...]


def prepare(config: PushConfig, hub: Hub, progress: Progress) -> Prepared:
    """Find the requested artifacts in the workspace, read their repositories on the Hub, and plan. Nothing is written.

    Raises UsageError for an invalid request, PublishError if the Hub refuses a request or a plan is not possible.
    """
    patience = Patience(config.patience, UNREACHED)
    account = _check_account(config, hub, patience)
    namespace = config.namespace or (account.name if account else "")
    with progress.waiting("Checking the workspace"):
        workspace = open_workspace(config.out, set(requested_codes(config.lang, config.out)) if config.lang else None)
    codes = _languages(config, workspace)
    for folder in workspace.unfinished:
        note(f"note: {folder} is not finished, so it is not published.")
    plans: dict[str, Plan] = {}
    collections: list[Collection] = []
    with progress.items("Planning", len(codes)) as begin:
        for code in codes:
            begin(code)
            language_plans = list(_plans_of(code, workspace, config, namespace, hub, patience))
            for plan in language_plans:
                _check_duplicates(plan, plans.get(plan.repository.id))
                plans[plan.repository.id] = plan
            if config.collection and language_plans:
                items = tuple((plan.repository.id, plan.repository.kind) for plan in language_plans)
                collections.append(Collection.of(workspace.language(code).name, items))
    if not plans:
        raise UsageError(
            "nothing in the workspace matches --kind, --source and --method.", "See `lrl push-hub --help`."
        )
    return Prepared(namespace, tuple(plans.values()), tuple(collections))


def publish(
    prepared: Prepared, config: PushConfig, hub: Hub, progress: Progress
) -> tuple[list[Published], list[UpdatedCollection]]:
    """Apply the plans. A repository that has changed since is planned again. Raises PublishError."""
    refuse_conflicts(prepared.plans)
    patience = Patience(config.patience)
    published = []
    with progress.items("Publishing", len(prepared.plans)) as begin:
        for plan in prepared.plans:
            begin(plan.repository.id)
            published.append(patience.retry_until_done(plan.repository.id, _converge(plan, config, hub)))
    collected = []
    for collection in prepared.collections:
        with progress.waiting(f"Collecting {collection.title}"):
            gather = partial(hub.collect, prepared.namespace, collection, private=config.private)
            slug, added = patience.retry_until_done(f"the collection {collection.title!r}", gather)
        collected.append(UpdatedCollection(collection.title, f"{hub.endpoint}/collections/{slug}", added))
    return published, collected


def _converge(planned: Plan, config: PushConfig, hub: Hub) -> Callable[[], Published | None]:
    """Return a step that applies a plan. Called again, it reads the current state and makes only the missing changes.

    Changes by a run that was killed, or in a request whose response was lost, are therefore not repeated.
    """
    repository = planned.repository
    plans = [planned]
    done: list[str] = []

    def step() -> Published | None:
        plan = (
            plans.pop()
            if plans
            else make_plan(repository, hub.read(repository.id, repository.kind), config.version, config.card)
        )
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
        return Published(repository.id, repository.kind, url, plan.version, next(iter(done), "unchanged"))

    return step


def _check_duplicates(plan: Plan, other: Plan | None) -> None:
    """Raise UsageError if two folders would be published as one repository. All languages share lrl-mini."""
    if other and plan.repository.what != "base":
        first, second = (next((str(file.content) for file in item.repository.files), "") for item in (other, plan))
        raise UsageError(
            f"{plan.repository.id}: two folders map to this repository, with {first} and {second}.", "Move one away."
        )


def refuse_conflicts(plans: tuple[Plan, ...] | list[Plan]) -> None:
    """Raise PublishError if a plan changes a card section that a person has edited."""
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


def _languages(config: PushConfig, workspace: Workspace) -> tuple[str, ...]:
    """Return the requested languages. Raises UsageError if a language or source is not in the workspace."""
    if config.lang is None:
        codes = workspace.languages
    else:
        codes = tuple(requested_codes(config.lang, workspace.root))
        if missing := [code for code in codes if code not in workspace.languages]:
            raise UsageError(
                f"{workspace.root}: nothing for {', '.join(missing)}.",
                f"It has: {', '.join(open_workspace(config.out).languages) or 'nothing'}.",
            )
    if not codes:
        raise UsageError(f"{workspace.root}: nothing finished.", "Build a dataset with `lrldata build`.")
    sources = {artifact.source for code in codes for artifact in workspace.datasets.get(code, ())}
    sources |= {artifact.source for code in codes for artifact in workspace.adapters.get(code, ())}
    if missing := [source for source in config.source if source not in sources]:
        raise UsageError(f"--source: nothing from {', '.join(missing)}.", f"Available: {', '.join(sorted(sources))}.")
    return codes


def _plans_of(
    code: str, workspace: Workspace, config: PushConfig, namespace: str, hub: Hub, patience: Patience
) -> Iterator[Plan]:
    """Plan the repositories of a language: the dataset first, since adapter cards name the version of their text."""

    def read(name: str, kind: Kind) -> RemoteRepository:
        return patience.retry_until_done(name, lambda: hub.read(name, kind))

    def planned(repository: Repository, remote: RemoteRepository) -> Plan:
        if config.private and remote.tip and not remote.private:
            raise PublishError(
                f"{repository.id}: already public, and --private applies only to new repositories.",
                "Make it private in its settings on the Hub, or drop --private.",
            )
        return make_plan(repository, remote, config.version, config.card)

    datasets = tuple(
        dataset for dataset in workspace.datasets.get(code, ()) if not config.source or dataset.source in config.source
    )
    name = f"{namespace}/lrl-{code}"
    remote = read(name, "dataset")
    record, public = remote.record, not (remote.private if remote.tip else config.private)
    if datasets and "dataset" in (config.kind or ["dataset"]):
        with reporting_invalid_content(datasets[0].folder.parent):
            licences = {dataset.source: _licence_of_dataset(config, dataset, name, record) for dataset in datasets}
            plan = planned(dataset_repository(datasets, licences, namespace, code), remote)
        record = plan.record
        yield plan
    chosen = [adapter for adapter in workspace.adapters.get(code, ()) if _is_chosen(adapter, config)]
    if not chosen:
        return
    if any(adapter.manifest["base"]["id"] == MINI for adapter in chosen):
        folder = Path(str(files("lrltrain").joinpath("mini")))
        mini = base_repository(folder, json.loads((folder / "made_from.json").read_text("utf-8")), namespace)
        yield planned(mini, read(mini.id, mini.kind))
    for adapter in chosen:
        with reporting_invalid_content(adapter.folder):
            text = source_of(adapter, workspace, name, record, public=public)
            base = _base_id(adapter, config, namespace)
            published = read(adapter_id(adapter, base, namespace), "model")
            from_sources = licenses.of_adapter(adapter, workspace, text)
            from_text = licenses.of_published(adapter, name, record, remote.tip)
            from_published = licenses.of_part(published.record, "adapter", adapter.manifest_sha256)
            licence = _licence(
                config, from_sources, from_published or from_text, adapter.folder, licenses.lacking(adapter, workspace)
            )
            repository = adapter_repository(adapter, workspace, licence, text, base, namespace)
            _note_change(repository.id, "the adapter", licence, licenses.of_part(published.record, "adapter"))
            plan = planned(replace(repository, keep_remote_scores=config.scores == "all"), published)
        yield plan


def _is_chosen(adapter: Adapter, config: PushConfig) -> bool:
    return (
        "adapter" in (config.kind or ["adapter"])
        and (not config.source or adapter.source in config.source)
        and (not config.method or adapter.method in config.method)
    )


def _licence_of_dataset(
    config: PushConfig, dataset: Dataset, repository: str, record: Mapping[str, Any] | None
) -> License:
    """Return the licence of a dataset. If its source has no known licence, keep the published one, with a note."""
    from_source, published = licenses.of_dataset(dataset.manifest), licenses.of_part(record, dataset.source)
    licence = _licence(config, from_source, published, dataset.folder)
    _note_change(repository, dataset.source, licence, published)
    if not from_source and not config.license and not licenses.of_part(record, dataset.source, dataset.manifest_sha256):
        note(f"note: {repository}: {dataset.source} has new rows, still under {licence.id} (see --license).")
    return licence


def _note_change(repository: str, what: str, licence: License, published: License | None) -> None:
    if published and published != licence:
        note(f"note: {repository}: the licence of {what} is now {licence.id}; it was {published.id}.")


def _licence(
    config: PushConfig, from_sources: License | None, published: License | None, folder: Path, lacking: str = ""
) -> License:
    """Return the licence of an artifact: that of its sources, the requested one, or the published one.

    `lacking` names a fused adapter that is not in the workspace.
    """
    requested = licenses.asked_for(config.license, config.license_name, config.license_link) if config.license else None
    if (licence := from_sources or requested or published) is None:
        raise UsageError(
            f"{folder}: the licence of {lacking or 'its text'} is unknown.",
            "Give the licence to publish it under with --license.",
        )
    return licence


def _base_id(adapter: Adapter, config: PushConfig, namespace: str) -> str:
    """Return the id of an adapter's base model on the Hub. Raises UsageError if it is unknown."""
    base = adapter.manifest["base"]
    if base["id"] == MINI:
        return f"{namespace}/{MINI}"
    if config.base_id and base["revision"] is None:
        return config.base_id
    if (base["revision"] is None and "/" not in base["id"]) or not is_repository(base["id"]):
        raise UsageError(
            f"{adapter.folder}: its base model is a local folder ({base['id']}).",
            "Give its id on the Hub with --base-id ORG/NAME.",
        )
    return str(base["id"])
