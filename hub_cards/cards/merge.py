"""Bring together a card that we render and the one on the Hub, which a person may have edited. Pure.

A part is a key of the metadata, or a section between markers. Of each we know what we wrote last (`record`), what is
there now, and what we would write: where only one of the two has changed, that one counts; where both have, and are not
the same, it is a conflict. Text outside the markers is the person's, and stays where it is.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hub_cards.cards.card import Card, Readme, join, mark, read, replace_section, same
from lrldata.card import in_yaml
from lrldata.manifest import fingerprint

Prefer = Literal["ask", "ours", "theirs"]
_ABSENT = object()


@dataclass
class Merged:
    """The README that comes of it, and the conflicts, each as a difference in unified form."""

    text: str
    conflicts: list[str] = field(default_factory=list)


def merge(ours: Card, readme: str | None, record: Mapping[str, Any] | None, prefer: Prefer = "ask") -> Merged:
    """Merge the card into the README of a repository; `record` is what `Card.record` gave for the last one.

    `prefer` settles conflicts: `ours` and `theirs` take that side, `ask` reports them. Raises CardError where the
    README cannot be read.
    """
    if readme is None or not readme.strip():
        return Merged(ours.text)
    theirs = read(readme)
    known: Mapping[str, Any] = record or {"metadata": {}, "sections": {}}
    merged = Merged("")
    metadata = _metadata(ours, theirs, known["metadata"], prefer, merged)
    body = _body(ours, theirs, known["sections"], prefer, merged)
    # The bytes of what is the same stay, whoever laid them out.
    unchanged = same(metadata, theirs.metadata) and body == _ended(theirs.body)
    merged.text = readme if unchanged else join(metadata, body, theirs)
    return merged


def _metadata(ours: Card, theirs: Readme, base: Mapping[str, Any], prefer: Prefer, merged: Merged) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key in dict.fromkeys((*ours.metadata, *theirs.metadata, *base)):
        was, own, found = (side.get(key, _ABSENT) for side in (base, ours.metadata, theirs.metadata))
        if not any(same(*pair) for pair in ((own, found), (own, was), (found, was))):
            if prefer == "ask":
                merged.conflicts.append(_difference(key, *(_one(key, value) for value in (found, own))))
            chosen = own if prefer == "ours" else found
        else:
            chosen = own if same(found, was) or same(found, own) else found
        if chosen is not _ABSENT:
            result[key] = chosen
    return result


def _one(key: str, value: Any) -> str:
    return "" if value is _ABSENT else in_yaml({key: value})


def _body(ours: Card, theirs: Readme, base: Mapping[str, str], prefer: Prefer, merged: Merged) -> str:
    body, last = _ended(theirs.body), None
    for name in dict.fromkeys((*ours.sections, *theirs.sections)):
        own, found = ours.sections.get(name), theirs.sections.get(name)
        was = base.get(name)
        edited = (fingerprint(found) if found is not None else None) != was
        changed = (fingerprint(own) if own is not None else None) != was
        if edited and changed and own != found:
            if prefer == "ask":
                merged.conflicts.append(_difference(name, found or "", own or ""))
            chosen = own if prefer == "ours" else found
        else:
            chosen = found if edited else own
        if chosen is not None and name not in theirs.sections:
            body = _insert(body, name, chosen, last)
        elif chosen != found:
            body = replace_section(body, name, chosen)
        last = name if chosen is not None else last
    return _ended(body)


def _ended(text: str) -> str:
    return text.rstrip("\n") + "\n"


def _insert(body: str, name: str, text: str, after: str | None) -> str:
    """Put a new section below another one of ours; without one, below all text."""
    if after is None:
        return f"{body.rstrip()}\n\n{mark(name, text)}\n".lstrip("\n")
    end = f"<!-- lrl:end {after} -->"
    head, tail = body.split(end, 1)
    return f"{head}{end}\n\n{mark(name, text)}{tail}"


def _difference(name: str, found: str, own: str) -> str:
    lines = difflib.unified_diff(
        found.splitlines(), own.splitlines(), f"{name} (on the Hub)", f"{name} (to be published)", lineterm=""
    )
    return "\n".join(lines)


def difference(before: str | None, after: str) -> str:
    """Return what changes in a README, in unified form; empty where nothing does."""
    old, new = (before or "").splitlines(), after.splitlines()
    return "\n".join(difflib.unified_diff(old, new, "README.md (on the Hub)", "README.md", lineterm=""))
