"""Where the text of an adapter came from. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_cards.artifacts import Adapter, Workspace
from hub_cards.cards.rebuild import rebuild_command
from hub_cards.cards.render import in_lines
from lrldata.language import find_recorded

UNFIT = ("`", "MASK", "<!--")  # what a sentence may not hold to stand in a snippet


@dataclass(frozen=True)
class Source:
    """What is known of a text: its repository with version, what it was made from, and how.

    `samples` holds a line of it for the example on the card, where the text is public; `sample` tells that it is the
    built-in one. `command` makes it, where it is known how, and it is in no repository.
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
    public: bool = False,
) -> Source:
    """Return what is known of an adapter's text, here or in the record of its dataset's repository on the Hub.

    `public` says whether everyone can read that repository.
    """
    entry = next((each for each in adapter.manifest["inputs"] if each["kind"] in ("dataset", "hub")), None)
    if entry is None:
        return Source()
    if entry["kind"] == "hub":
        return Source(repository=entry["name"].rpartition("/")[0])
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
    may = of_sample or (public and version is not None)
    shown = [each for each in samples if may and not any(word in each for word in UNFIT)]
    inputs = list(manifest["inputs"])
    if version:
        return Source(shown[:1], repository, version, inputs, of_sample)
    command = rebuild_command(held.manifest) if held else _of_sample(adapter, name) if of_sample else ""
    return Source(shown[:1], None, None, inputs, of_sample, command)


def _of_sample(adapter: Adapter, source: str) -> str:
    """Return the command for the built-in sample, which is everywhere."""
    code = str(adapter.manifest["language"]["code"])
    return in_lines(["lrldata", "build", "--lang", code, "--source", source, "--sample"])


def member_of(adapter: Adapter, workspace: Workspace) -> dict[str, str]:
    """Return what a card says of an adapter that is fused."""
    language = find_recorded(adapter.manifest["language"])
    return {
        "manifest_sha256": adapter.manifest_sha256,
        "language": language.name,
        "hub_code": language.hub_code,
        "source": adapter.source,
        "cited": "" if source_of(adapter, workspace).sample else adapter.source,
    }


def version_with(record: Mapping[str, Any], part: str, manifest_sha256: str) -> str | None:
    """Return the first version in which a part of a repository was this one, by its manifest."""
    found = (entry["version"] for entry in record["history"] if entry["parts"].get(part) == manifest_sha256)
    return next(map(str, found), None) if manifest_sha256 else None
