"""Merge a generated card with the one on the Hub, which people may have edited. Pure.

A part is a key of the metadata, or a section between markers. It is a three-way merge: each part has the version that
was last published (`record`), the version now on the Hub, and the new version. If only one of the latter two has
changed, it is used; if both have changed and differ, there is a conflict. Text outside the markers belongs to people
and stays where it is. In the list of a dataset's configurations, each entry is a part. Those of configurations
whose data are here are always the new ones, since they describe these data; others stay as people edited them.
"""

import difflib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hub_cards.cards.card import END, Card, Readme, join, mark, read, replace_section, same
from lrldata.card import in_yaml
from lrldata.manifest import fingerprint

Prefer = Literal["ask", "ours", "theirs"]
_ABSENT = object()
_BY_CONFIGURATION = ("configs", "dataset_info")  # keys of the metadata that describe the data


@dataclass
class MergedReadme:
    """The merged README, and the conflicts, each as a unified diff."""

    text: str
    conflicts: list[str] = field(default_factory=list)


def merge(
    ours: Card,
    readme: str | None,
    record: Mapping[str, Any] | None,
    prefer: Prefer = "ask",
    local: Container[str] | None = None,
) -> MergedReadme:
    """Merge the card into the README of a repository; `record` is `Card.record` of the card published last.

    `local` are the names of the configurations whose data are here; None stands for all. `prefer` resolves conflicts:
    `ours` and `theirs` take that side, `ask` reports them. Raises CardError if the README cannot be read.
    """
    if readme is None or not readme.strip():
        return MergedReadme(ours.text)
    theirs = read(readme)
    published: Mapping[str, Any] = record or {"metadata": {}, "sections": {}}
    merged = MergedReadme("")
    metadata = _metadata(ours, theirs, published["metadata"], prefer, merged, local)
    body = _body(ours, theirs, published["sections"], prefer, merged)
    # If nothing changes, the bytes stay, whatever their layout.
    unchanged = same(metadata, theirs.metadata) and body == _ended(theirs.body)
    merged.text = readme if unchanged else join(metadata, body, theirs)
    return merged


def _metadata(
    ours: Card,
    theirs: Readme,
    base: Mapping[str, Any],
    prefer: Prefer,
    merged: MergedReadme,
    local: Container[str] | None,
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key in dict.fromkeys((*ours.metadata, *theirs.metadata, *base)):
        base_value, new, current = (side.get(key, _ABSENT) for side in (base, ours.metadata, theirs.metadata))
        if key in _BY_CONFIGURATION and (our_entries := _entries(new)) and (their_entries := _entries(current)):
            entries = _merged_entries(our_entries, their_entries, _entries(base_value) or [], local)
            result[key] = entries if isinstance(new, list) or len(entries) > 1 else entries[0]
            continue
        if not any(same(*values) for values in ((new, current), (new, base_value), (current, base_value))):
            if prefer == "ask":
                merged.conflicts.append(_difference(key, *(_yaml_of(key, value) for value in (current, new))))
            chosen = new if prefer == "ours" else current
        else:
            chosen = new if same(current, base_value) or same(current, new) else current
        if chosen is not _ABSENT:
            result[key] = chosen
    return result


def _entries(value: Any) -> list[Any] | None:
    """Return the entries by configuration of a key, which may be a single one; None if it has another form."""
    entries = [value] if isinstance(value, dict) else value
    is_known = isinstance(entries, list) and all(
        isinstance(entry, dict) and "config_name" in entry for entry in entries
    )
    return entries if is_known else None


def _merged_entries(new: list[Any], current: list[Any], base: list[Any], local: Container[str] | None) -> list[Any]:
    """Return the entries in their current order, with ours replaced, and those that are new at the end."""
    ours, theirs, published = ({str(entry["config_name"]): entry for entry in side} for side in (new, current, base))
    edited = {name for name in theirs if name not in published or not same(theirs[name], published[name])}
    elsewhere = {name for name in (*ours, *published) if local is not None and name not in local}
    others = {name: theirs[name] for name in edited if name not in ours or name in elsewhere}
    # There can be only one default, and for `datasets`, a configuration of this name is one.
    if any(entry.get("default") or name == "default" for name, entry in others.items()):
        ours = {name: {key: value for key, value in entry.items() if key != "default"} for name, entry in ours.items()}
    removed = elsewhere & published.keys() - theirs.keys()
    result = {name: entry for name, entry in (ours | others).items() if name not in removed}
    return [result[name] for name in dict.fromkeys((*theirs, *ours)) if name in result]


def _yaml_of(key: str, value: Any) -> str:
    return "" if value is _ABSENT else in_yaml({key: value})


def _body(ours: Card, theirs: Readme, base: Mapping[str, str], prefer: Prefer, merged: MergedReadme) -> str:
    body, previous = _ended(theirs.body), None
    for name in dict.fromkeys((*ours.sections, *theirs.sections)):
        new, current = ours.sections.get(name), theirs.sections.get(name)
        base_hash = base.get(name)
        edited = (fingerprint(current) if current is not None else None) != base_hash
        changed = (fingerprint(new) if new is not None else None) != base_hash
        if edited and changed and new != current:
            if prefer == "ask":
                merged.conflicts.append(_difference(name, current or "", new or ""))
            chosen = new if prefer == "ours" else current
        else:
            chosen = current if edited else new
        if chosen is not None and name not in theirs.sections:
            body = _insert(body, name, chosen, previous)
        elif chosen != current:
            body = replace_section(body, name, chosen)
        previous = name if chosen is not None else previous
    return _ended(body)


def _ended(text: str) -> str:
    return text.rstrip("\n") + "\n"


def _insert(body: str, name: str, text: str, after: str | None) -> str:
    """Insert a new section below the generated section `after`; without one, below all text."""
    if after is None:
        return f"{body.rstrip()}\n\n{mark(name, text)}\n".lstrip("\n")
    end = END.format(after)
    head, tail = body.split(end, 1)
    return f"{head}{end}\n\n{mark(name, text)}{tail}"


def _difference(name: str, current: str, new: str) -> str:
    lines = difflib.unified_diff(
        current.splitlines(), new.splitlines(), f"{name} (on the Hub)", f"{name} (to be published)", lineterm=""
    )
    return "\n".join(lines)


def difference(before: str | None, after: str) -> str:
    """Return the changes in a README as a unified diff; empty if there are none."""
    old, new = (before or "").splitlines(), after.splitlines()
    return "\n".join(difflib.unified_diff(old, new, "README.md (on the Hub)", "README.md", lineterm=""))
