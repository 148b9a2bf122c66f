"""Where the text of an adapter came from. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_cards.workspace import Adapter, Workspace


@dataclass(frozen=True)
class Source:
    """What is known of a text: some samples, its repository with version, and what it was made from."""

    samples: Sequence[str] = ()
    repository: str | None = None
    version: str | None = None
    inputs: Sequence[Mapping[str, Any]] = ()


def input_of(adapter: Adapter) -> Mapping[str, Any] | None:
    """Return what an adapter's manifest says of the dataset that it was trained on; None for text that was none."""
    return next((entry for entry in adapter.manifest["inputs"] if entry["kind"] == "dataset"), None)


def source_of(
    adapter: Adapter, workspace: Workspace, repository: str | None = None, version: str | None = None
) -> Source:
    """Return what is known of an adapter's text; `repository` and `version` are where it is on the Hub."""
    entry = input_of(adapter)
    held = workspace.dataset_of(entry["manifest_sha256"]) if entry else None
    samples, inputs = (held.samples, held.manifest["inputs"]) if held else ((), ())
    return Source(samples, repository, version, inputs)
