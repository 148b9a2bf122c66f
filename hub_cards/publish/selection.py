"""The part of a workspace that is published: languages, repositories and their licences, as plans."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from hub_cards.artifacts import Adapter, Dataset, Workspace
from hub_cards.cards import licenses
from hub_cards.cards.licenses import License
from hub_cards.cards.lint import is_repository
from hub_cards.cards.rebuild import MINI
from hub_cards.cards.source import source_of
from hub_cards.config import PushConfig
from hub_cards.publish.hub import Hub
from hub_cards.publish.plan import Plan, make_plan
from hub_cards.publish.repository import (
    Kind,
    Repository,
    adapter_id,
    adapter_repository,
    base_repository,
    dataset_repository,
)
from hub_cards.publish.retry import Patience
from hub_cards.publish.state import RemoteRepository
from lrldata.errors import PublishError, UsageError
from lrldata.layout import finished
from lrldata.manifest import ADAPTER, DATASET, reporting_invalid_content
from lrldata.output import note
from lrldata.workspace import requested_codes


def languages_of(config: PushConfig, workspace: Workspace) -> tuple[str, ...]:
    """Return the requested languages. Raises UsageError if a language or source is not in the workspace."""
    if config.lang is None:
        codes = workspace.languages
    else:
        codes = tuple(requested_codes(config.lang, workspace.root))
        if missing := [code for code in codes if code not in workspace.languages]:
            folders = (path for kind in (DATASET, ADAPTER) for path in finished(workspace.root, kind))
            available = sorted({path.relative_to(workspace.root).parts[1] for path in folders})
            raise UsageError(
                f"{workspace.root}: no datasets or adapters in {', '.join(missing)}.",
                f"Available: {', '.join(available) or 'none'}.",
            )
    if not codes:
        raise UsageError(f"{workspace.root}: nothing finished.", "Build a dataset with `lrldata build`.")
    sources = {artifact.source for code in codes for artifact in workspace.datasets.get(code, ())}
    sources |= {artifact.source for code in codes for artifact in workspace.adapters.get(code, ())}
    if missing := [source for source in config.source if source not in sources]:
        raise UsageError(f"--source: nothing from {', '.join(missing)}.", f"Available: {', '.join(sorted(sources))}.")
    return codes


def plans_of(
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
        return make_plan(repository, remote, config.version, config.card, replace_data=config.replace_data)

    datasets = tuple(
        dataset for dataset in workspace.datasets.get(code, ()) if not config.source or dataset.source in config.source
    )
    name = f"{namespace}/lrl-{code}"
    remote = read(name, "dataset")
    record, public = remote.record, not ((remote.private or remote.gated) if remote.tip else config.private)
    versions = {tag.removeprefix("v") for tag in remote.tags}
    if datasets and "dataset" in (config.kind or ["dataset"]):
        with reporting_invalid_content(datasets[0].folder.parent):
            licences = {dataset.source: _licence_of_dataset(config, dataset, name, record) for dataset in datasets}
            repository = dataset_repository(datasets, licences, namespace, code)
            plan = planned(replace(repository, keep_remote_scores=config.scores == "all"), remote)
        record = plan.record
        versions |= {plan.missing_tag} if plan.missing_tag else set()  # which this publication adds
        yield plan
    versions |= {str(record["version"])} if record else set()
    chosen = [adapter for adapter in workspace.adapters.get(code, ()) if _is_chosen(adapter, config)]
    if not chosen:
        return
    if any(adapter.manifest["base"]["id"] == MINI for adapter in chosen):
        folder = Path(str(files("lrltrain").joinpath("mini")))
        mini = base_repository(folder, json.loads((folder / "made_from.json").read_text("utf-8")), namespace)
        yield planned(mini, read(mini.id, mini.kind))
    for adapter in chosen:
        with reporting_invalid_content(adapter.folder):
            text = source_of(adapter, workspace, name, record, versions=versions, public=public)
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


def note_unused_licence(config: PushConfig, plans: Iterable[Plan]) -> None:
    """Note a --license that applies to nothing, because all licences follow from the sources."""
    if not config.license:
        return
    requested = asdict(licenses.asked_for(config.license, config.license_name, config.license_link))
    parts = (part for plan in plans for part in plan.repository.parts.values())
    if all(part.facts.get("licence") != requested for part in parts):
        note(f"--license {config.license} is not used: the sources determine the licence of everything here.")


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
        note(f"{repository}: {dataset.source} was rebuilt and stays under {licence.id} (see --license).")
    return licence


def _note_change(repository: str, what: str, licence: License, published: License | None) -> None:
    if published and published != licence:
        note(f"{repository}: the licence of {what} is now {licence.id}; it was {published.id}.")


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
