"""Compare the versions of libraries and datasets that manifests record. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any


def other_versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the libraries whose versions differ from a manifest's: "torch 2.12.0 (now 2.13.0)"; empty if none do."""
    recorded, current = before.get("made_with") or {}, now.get("made_with") or {}
    return ", ".join(
        f"{name} {recorded.get(name)} (now {current[name]})" for name in current if recorded.get(name) != current[name]
    )


def versions_of(made_with: Mapping[str, str]) -> list[tuple[str, list[int]]]:
    """Return the versions of libraries in a form in which newer ones compare as greater."""
    return [(name, [int(part) for part in re.findall(r"\d+", version)]) for name, version in sorted(made_with.items())]


def is_other_version(dataset: Mapping[str, Any], inputs: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a dataset is another version of one that an adapter was trained on; False if unknown.

    `dataset` has its `name`, `manifest_sha256` and, except in older scores, `content`; so do the adapter's `inputs`.
    """
    versions = [entry for entry in inputs if entry["kind"] == "dataset" and entry["name"] == dataset["name"]]
    if not versions or not dataset.get("manifest_sha256"):
        return False
    has_content = bool(dataset.get("content")) and all(entry.get("content") for entry in versions)
    key = "content" if has_content else "manifest_sha256"
    return dataset[key] not in {entry[key] for entry in versions}
