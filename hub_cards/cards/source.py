"""Where the text of an adapter came from. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_cards.artifacts import Adapter, Workspace


@dataclass(frozen=True)
class Source:
    """What is known of a text: some samples, its repository with version, and what it was made from.

    `sample` tells that it is the built-in one.
    """

    samples: Sequence[str] = ()
    repository: str | None = None
    version: str | None = None
    inputs: Sequence[Mapping[str, Any]] = ()
    sample: bool = False


def source_of(
    adapter: Adapter, workspace: Workspace, repository: str = "", record: Mapping[str, Any] | None = None
) -> Source:
    """Return what is known of an adapter's text, here or in the record of its dataset's repository on the Hub."""
    entry = next((each for each in adapter.manifest["inputs"] if each["kind"] == "dataset"), None)
    if entry is None:
        return Source()
    name, digest = entry["name"], entry["manifest_sha256"]
    version = version_with(record, name, digest) if record else None
    held, published = workspace.dataset_of(digest), (record or {}).get("parts", {}).get(name)
    if held:
        samples, manifest = list(held.samples), held.manifest
    elif published and published["manifest_sha256"] == digest:
        samples, manifest = published["facts"]["samples"], published["facts"]["manifest"]
    else:  # what the adapter itself knows of a dataset that has been built again since
        samples, manifest = [], {"inputs": [], **adapter.manifest.get("text", {})}
    of_sample = bool(manifest.get("sample"))
    return Source(samples, repository if version else None, version, list(manifest["inputs"]), of_sample)


def version_with(record: Mapping[str, Any], part: str, manifest_sha256: str) -> str | None:
    """Return the first version in which a part of a repository was this one, by its manifest."""
    found = (entry["version"] for entry in record["history"] if entry["parts"].get(part) == manifest_sha256)
    return next(map(str, found), None) if manifest_sha256 else None
