"""What is different in a version of a repository, in lines for people. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any


def changes_of(before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say of each configuration of a dataset how its rows, columns and settings have changed.

    Both are the facts of parts, by name. Of what has no manifest, as adapters, nothing is said.
    """
    lines = []
    for name in sorted(now.keys() | before.keys()):
        old, new = (facts.get(name, {}).get("manifest") for facts in (before, now))
        if new and not old:
            lines.append(f"{name}: added, {_rows(new):,} rows")
        elif old and name not in now:
            lines.append(f"{name}: removed")
        elif old and new and (found := list(_differences(old, new))):
            lines.append(f"{name}: {'; '.join(found)}")
    return lines


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if (was := _rows(old)) != (has := _rows(new)):
        yield f"rows {was:,} -> {has:,}"
    elif old["columns"] == new["columns"] and _shards(old) != _shards(new):
        yield f"{has:,} rows, of which some are others"
    if old["columns"] != new["columns"]:
        yield f"columns {', '.join(old['columns'])} -> {', '.join(new['columns'])}"
    for key in sorted(old["settings"].keys() | new["settings"].keys()):
        one, other = (each["settings"].get(key) for each in (old, new))
        if one != other:
            yield f"{key.replace('_', ' ')} {_said(one)} -> {_said(other)}"
    one, other = (each.get("templates", {}).get("name") for each in (old, new))
    if one != other:
        yield f"templates {_said(one)} -> {_said(other)}"
    if [each.get("sha256") for each in old["inputs"]] != [each.get("sha256") for each in new["inputs"]]:
        yield "from other files"
    one, other = (each.get("made_with", {}).get("lrl") for each in (old, new))
    if one != other:
        yield f"lrl {_said(one)} -> {_said(other)}"


def _shards(manifest: Mapping[str, Any]) -> list[Any]:
    return [each for each in manifest.get("outputs", ()) if str(each.get("path", "")).startswith("data/")]


def _rows(manifest: Mapping[str, Any]) -> int:
    return sum(manifest["rows"].values())


def _said(value: Any) -> str:
    return "none" if value is None else " ".join(str(value).split())[:80]
