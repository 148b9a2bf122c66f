"""Versions of libraries as manifests have them under `made_with`, compared. Pure."""

import re
from collections.abc import Mapping
from typing import Any


def other_versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name what has another version in `made_with` of a manifest than now: "torch 2.12.0 (now 2.13.0)", or nothing."""
    mine, ours = before.get("made_with") or {}, now.get("made_with") or {}
    return ", ".join(f"{name} {mine.get(name)} (now {ours[name]})" for name in ours if mine.get(name) != ours[name])


def versions_of(made_with: Mapping[str, str]) -> list[tuple[str, list[int]]]:
    """Return versions of libraries as what newer ones are more than."""
    return [(name, [int(part) for part in re.findall(r"\d+", version)]) for name, version in sorted(made_with.items())]
