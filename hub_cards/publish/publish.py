"""The pipeline of `lrl push-hub`: plan what each repository needs, then do it."""

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
from hub_cards.publish.plan import Plan, Remote, make_plan
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
from lrldata.manifest import understood
from lrldata.output import note
from lrldata.progress import Progress
from lrldata.workspace import codes_asked

UNREACHED = 20.0  # seconds that a plan waits for a Hub that does not answer: there may be no network


@dataclass(frozen=True)
class Published:
    """One repository after a publication; `action` is what had to be done."""

    id: str
    kind: Kind
    url: str
    version: str
    action: str


@dataclass(frozen=True)
class Collected:
    """The collection of a language, and how many repositories came into it."""

    title: str
    url: str
    added: int


@dataclass(frozen=True)
class Prepared:
    """A plan for every repository, in the order in which they are published, and the collections that gather them."""

    namespace: str
    plans: tuple[Plan, ...]
    collections: tuple[Collection, ...]


def prepare(config: PushConfig, hub: Hub, progress: Progress) -> Prepared:
    """Find what the workspace holds of what was asked for, look at the Hub, and plan. Nothing is written.

    Raises UsageError for what cannot be meant, PublishError where the Hub refuses or a card has a conflict.
    """
    patience = Patience(config.patience, UNREACHED)
    account = _check_account(config, hub, patience)
    namespace = config.namespace or (account.name if account else "")
    with progress.waiting("Checking the workspace"):
        workspace = open_workspace(config.out, set(codes_asked(config.lang, config.out)) if config.lang else None)
    codes = _languages(config, workspace)
    for folder in workspace.unfinished:
        note(f"note: {folder} is not finished, and stays here.")
    plans: dict[str, Plan] = {}
    collections: list[Collection] = []
    with progress.items("Planning", len(codes)) as begin:
        for code in codes:
            begin(code)
            of_language = list(_plans_of(code, workspace, config, namespace, hub, patience))
            for plan in of_language:
                _check_duplicates(plan, plans.get(plan.repository.id))
                plans[plan.repository.id] = plan
            if config.collection and of_language:
                items = tuple((plan.repository.id, plan.repository.kind) for plan in of_language)
                collections.append(Collection.of(workspace.language(code).name, items))
    if not plans:
        raise UsageError(
            "nothing in the workspace is of that kind, source and method.", "`lrl push-hub --help` names the filters."
        )
    return Prepared(namespace, tuple(plans.values()), tuple(collections))


def publish(
    prepared: Prepared, config: PushConfig, hub: Hub, progress: Progress
) -> tuple[list[Published], list[Collected]]:
    """Do what was planned. Where the Hub has changed since, it is planned again. Raises PublishError."""
    refuse_conflicts(prepared.plans)
    patience = Patience(config.patience)
    published = []
    with progress.items("Publishing", len(prepared.plans)) as begin:
        for plan in prepared.plans:
            begin(plan.repository.id)
            published.append(patience.retry_until_done(plan.repository.id, _converge(plan, config, hub)))
    collected = []
    for wanted in prepared.collections:
        with progress.waiting(f"Collecting {wanted.title}"):
            gather = partial(hub.collect, prepared.namespace, wanted, private=config.private)
            slug, added = patience.retry_until_done(f"the collection {wanted.title!r}", gather)
        collected.append(Collected(wanted.title, f"{hub.endpoint}/collections/{slug}", added))
    return published, collected


def _converge(planned: Plan, config: PushConfig, hub: Hub) -> Callable[[], Published | None]:
    """Return a step that carries out a plan; called again, it looks at what is there and does what is still missing.

    What was done by a run that was killed, or in a request whose answer was lost, is so not done again.
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
                raise PublishError(f"{repository.id}: is there, but this token cannot see it.", "Check whose it is.")
            hub.create(repository.id, repository.kind, private=config.private)
            done.append("created")
            return None  # to look again, as a repository begins with a commit of the Hub's own
        if plan.missing_tag:
            hub.tag(repository, plan.missing_tag, commit)
        if plan.action == "update":
            done.append("updated")
            commit = hub.commit(
                plan, commit, message=f"{repository.what} v{plan.version}", description="\n".join(plan.told)
            )
        if plan.action != "unchanged":
            done.append("tagged")
            hub.tag(repository, plan.version, commit)
        place = "datasets/" if repository.kind == "dataset" else ""
        url = f"{hub.endpoint}/{place}{repository.id}"
        return Published(repository.id, repository.kind, url, plan.version, next(iter(done), "unchanged"))

    return step


def _check_duplicates(plan: Plan, other: Plan | None) -> None:
    """Raise UsageError where two folders would be published as one repository; lrl-mini is for all languages."""
    if other and plan.repository.what != "base":
        one, two = (next((str(file.content) for file in each.repository.files), "") for each in (other, plan))
        raise UsageError(
            f"{plan.repository.id}: two folders would be this repository, of {one} and {two}.", "Move one away."
        )


def refuse_conflicts(plans: tuple[Plan, ...] | list[Plan]) -> None:
    """Raise PublishError where a person and we have changed the same part of a card."""
    told = [f"{plan.repository.id}:\n{conflict}" for plan in plans for conflict in plan.conflicts]
    if told:
        raise PublishError(
            "This push would overwrite card sections edited on the Hub. Use --card theirs to keep what is there, or "
            "--card ours to replace it:\n" + "\n".join(told),
        )


def _check_account(config: PushConfig, hub: Hub, patience: Patience) -> Account | None:
    """Return whose token it is, after a check that it may write here; a plan alone needs none."""
    if hub.token is None and config.dry_run:
        if config.namespace is None:
            raise UsageError("--namespace is missing.", "Without a token, whose repositories are meant is not known.")
        return None
    account = patience.retry_until_done("the token", hub.account)
    wanted = config.namespace or account.name
    if wanted not in account.namespaces:
        may = ", ".join(account.namespaces) or "nowhere"
        raise PublishError(
            f"the token of {account.name} ({account.role}) may not write to {wanted}; it may write to: {may}.",
            "Use a token with write access there, or another --namespace.",
        )
    return account


def _languages(config: PushConfig, workspace: Workspace) -> tuple[str, ...]:
    """Return the languages that were asked for. Raises UsageError for one, or a source, that is not here."""
    if config.lang is None:
        asked = workspace.languages
    else:
        asked = tuple(codes_asked(config.lang, workspace.root))
        if lacking := [code for code in asked if code not in workspace.languages]:
            raise UsageError(
                f"{workspace.root}: holds nothing of {', '.join(lacking)}.",
                f"It has: {', '.join(open_workspace(config.out).languages) or 'nothing'}.",
            )
    if not asked:
        raise UsageError(f"{workspace.root}: holds nothing that is finished.", "Make a dataset with `lrldata build`.")
    held = {each.source for code in asked for each in workspace.datasets.get(code, ())}
    held |= {each.source for code in asked for each in workspace.adapters.get(code, ())}
    if lacking := [source for source in config.source if source not in held]:
        raise UsageError(f"--source: nothing here is of {', '.join(lacking)}.", f"There is: {', '.join(sorted(held))}.")
    return asked


def _plans_of(
    code: str, workspace: Workspace, config: PushConfig, namespace: str, hub: Hub, patience: Patience
) -> Iterator[Plan]:
    """Plan the repositories of a language: its dataset first, as adapters name the version of their text."""

    def read(name: str, kind: Kind) -> Remote:
        return patience.retry_until_done(name, lambda: hub.read(name, kind))

    def planned(repository: Repository, remote: Remote) -> Plan:
        if config.private and remote.tip and not remote.private:
            raise PublishError(
                f"{repository.id}: is public already, and --private holds for new repositories.",
                "Make it private in its settings, or leave --private out.",
            )
        return make_plan(repository, remote, config.version, config.card)

    datasets = tuple(
        each for each in workspace.datasets.get(code, ()) if not config.source or each.source in config.source
    )
    name = f"{namespace}/lrl-{code}"
    remote = read(name, "dataset")
    record, public = remote.record, not (remote.private if remote.tip else config.private)
    if datasets and "dataset" in (config.kind or ["dataset"]):
        with understood(datasets[0].folder.parent):
            licences = {each.source: _licence_of_dataset(config, each, name, record) for each in datasets}
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
        with understood(adapter.folder):
            text = source_of(adapter, workspace, name, record, public=public)
            base = _base_id(adapter, config, namespace)
            own = read(adapter_id(adapter, base, namespace), "model")
            known = licenses.of_adapter(adapter, workspace, text)
            of_text = licenses.of_published(adapter, name, record, remote.tip)
            before = licenses.of_part(own.record, "adapter", adapter.manifest_sha256)
            licence = _licence(config, known, before or of_text, adapter.folder, licenses.lacking(adapter, workspace))
            repository = adapter_repository(adapter, workspace, licence, text, base, namespace)
            _note_change(repository.id, "the adapter", licence, licenses.of_part(own.record, "adapter"))
            plan = planned(replace(repository, keep_remote_scores=config.scores == "all"), own)
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
    """Return the licence of a dataset; of one whose source's is not known, that of what it replaces, with a note."""
    known, published = licenses.of_dataset(dataset.manifest), licenses.of_part(record, dataset.source)
    licence = _licence(config, known, published, dataset.folder)
    _note_change(repository, dataset.source, licence, published)
    if not known and not config.license and not licenses.of_part(record, dataset.source, dataset.manifest_sha256):
        note(f"note: {repository}: {dataset.source} has other rows, under {licence.id} as before (see --license).")
    return licence


def _note_change(repository: str, what: str, licence: License, published: License | None) -> None:
    if published and published != licence:
        note(f"note: {repository}: the licence of {what} is {licence.id} now, and was {published.id}.")


def _licence(
    config: PushConfig, known: License | None, published: License | None, folder: Path, lacking: str = ""
) -> License:
    """Return the licence of an artifact: that of its sources, the one asked for, or the published one.

    `lacking` names an adapter that it fuses and that is not here.
    """
    asked = licenses.asked_for(config.license, config.license_name, config.license_link) if config.license else None
    if (licence := known or asked or published) is None:
        raise UsageError(
            f"{folder}: the licence of {lacking or 'its text'} is not known.",
            "Name the one that it may be published under with --license.",
        )
    return licence


def _base_id(adapter: Adapter, config: PushConfig, namespace: str) -> str:
    """Return the id of an adapter's base model on the Hub. Raises UsageError where it is not known."""
    base = adapter.manifest["base"]
    if base["id"] == MINI:
        return f"{namespace}/{MINI}"
    if config.base_id and base["revision"] is None:
        return config.base_id
    if (base["revision"] is None and "/" not in base["id"]) or not is_repository(base["id"]):
        raise UsageError(
            f"{adapter.folder}: its base model was a folder ({base['id']}).",
            "Give its id on the Hub with --base-id ORG/NAME.",
        )
    return str(base["id"])
