"""Human-readable lines about the changes in a version of a repository. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any


def changes_of(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return one line per changed configuration of a dataset, with the changes in rows, columns and settings.

    Both arguments map the names of parts to their facts. Parts without a manifest, such as adapters, are skipped.
    """
    lines = []
    for name in sorted(now.keys() | before.keys()):
        old, new = (facts.get(name, {}).get("manifest") for facts in (before, now))
        if new and not old:
            lines.append(f"{name}: added, {_rows(new):,} rows")
        elif old and name not in now:
            lines.append(f"{name}: removed")
        elif old and new and (differences := list(_differences(old, new))):
            lines.append(f"{name}: {'; '.join(differences)}")
    return lines


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if (old_rows := _rows(old)) != (new_rows := _rows(new)):
        yield f"rows {old_rows:,} -> {new_rows:,}"
    elif old["columns"] == new["columns"] and _shards(old) != _shards(new):
        yield f"{new_rows:,} rows, some of them different"
    if old["columns"] != new["columns"]:
        yield f"columns {', '.join(old['columns'])} -> {', '.join(new['columns'])}"
    for key in sorted(old["settings"].keys() | new["settings"].keys()):
        before, after = (manifest["settings"].get(key) for manifest in (old, new))
        if before != after:
            yield f"{key.replace('_', ' ')} {_short(before)} -> {_short(after)}"
    before, after = (manifest.get("templates", {}).get("name") for manifest in (old, new))
    if before != after:
        yield f"templates {_short(before)} -> {_short(after)}"
    if [manifest.get("sha256") for manifest in old["inputs"]] != [manifest.get("sha256") for manifest in new["inputs"]]:
        yield "from other input files"
    before, after = (manifest.get("made_with", {}).get("lrl") for manifest in (old, new))
    if before != after:
        yield f"lrl {_short(before)} -> {_short(after)}"


def _shards(manifest: Mapping[str, Any]) -> list[Any]:
    return [entry for entry in manifest.get("outputs", ()) if str(entry.get("path", "")).startswith("data/")]


def _rows(manifest: Mapping[str, Any]) -> int:
    return sum(manifest["rows"].values())


def _short(value: Any) -> str:
    return "none" if value is None else " ".join(str(value).split())[:80]
