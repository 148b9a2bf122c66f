"""The origin of an adapter's text. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_cards.artifacts import Adapter, Workspace
from hub_cards.cards.rebuild import rebuild_command
from hub_cards.cards.render import in_lines
from lrldata.language import find_recorded

UNFIT = ("`", "MASK", "<!--")  # a sentence that contains any of these cannot be used in a code example


@dataclass(frozen=True)
class Source:
    """What is known of a text: its repository and version, its inputs, and how it was made.

    `samples` has a line of the text for the example on the card if the text is public. `sample` says whether the text
    is the built-in sample. `command` builds the text if it is in no repository and the command is known.
    """

    samples: Sequence[str] = ()
    repository: str | None = None
    version: str | None = None
    inputs: Sequence[Mapping[str, Any]] = ()
    sample: bool = False
    command: str = ""


def source_of(
    adapter: Adapter,
    workspace: Workspace,
    repository: str = "",
    record: Mapping[str, Any] | None = None,
    *,
    versions: Collection[str] | None = None,
    public: bool = False,
) -> Source:
    """Return what the workspace and the record of the dataset's repository on the Hub know of an adapter's text.

    `public` says whether everyone can read that repository, and `versions` which ones still exist; None means all.
    """
    entry = next((item for item in adapter.manifest["inputs"] if item["kind"] in ("dataset", "hub")), None)
    if entry is None:
        return Source()
    if entry["kind"] == "hub":
        return Source(repository=entry["name"].rpartition("/")[0])
    name, digest = entry["name"], entry["manifest_sha256"]
    version = version_with(record, name, digest, versions) if record else None
    dataset, published = workspace.dataset_of(digest), (record or {}).get("parts", {}).get(name)
    if dataset:
        samples, manifest = list(dataset.samples), dataset.manifest
    elif published and published["manifest_sha256"] == digest:
        samples, manifest = published["facts"]["samples"], published["facts"]["manifest"]
    else:  # the dataset has been rebuilt since: only what the adapter recorded is known
        samples, manifest = [], {"inputs": [], **adapter.manifest.get("text", {})}
    is_sample = bool(manifest.get("sample"))
    may_show = is_sample or (public and version is not None)
    shown = [candidate for candidate in samples if may_show and not any(word in candidate for word in UNFIT)]
    inputs = list(manifest["inputs"])
    if version:
        return Source(shown[:1], repository, version, inputs, is_sample)
    command = rebuild_command(dataset.manifest) if dataset else _sample_command(adapter, name) if is_sample else ""
    return Source(shown[:1], None, None, inputs, is_sample, command)


def _sample_command(adapter: Adapter, source: str) -> str:
    """Return the command for the built-in sample, which every installation has."""
    code = str(adapter.manifest["language"]["code"])
    return in_lines(["lrldata", "build", "--lang", code, "--source", source, "--sample"])


def member_of(adapter: Adapter, workspace: Workspace) -> dict[str, str]:
    """Return what a card says about a fused adapter."""
    language = find_recorded(adapter.manifest["language"])
    return {
        "manifest_sha256": adapter.manifest_sha256,
        "language": language.name,
        "hub_code": language.hub_code,
        "source": adapter.source,
        "cited": "" if source_of(adapter, workspace).sample else adapter.source,
    }


def version_with(
    record: Mapping[str, Any], part: str, manifest_sha256: str, versions: Collection[str] | None = None
) -> str | None:
    """Return the first version of a repository whose part has this manifest, if given one of `versions`."""
    candidates = (str(entry["version"]) for entry in record["history"] if entry["parts"].get(part) == manifest_sha256)
    existing = (version for version in candidates if versions is None or version in versions)
    return next(existing, None) if manifest_sha256 else None
