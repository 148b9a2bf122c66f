"""Compare the versions of libraries that manifests have under `made_with`. Pure."""

import re
from collections.abc import Mapping
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
