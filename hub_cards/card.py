"""A card: metadata for the Hub in YAML, then sections of Markdown, each between markers. Pure.

Between the markers is what we wrote; a person may edit it, and may write whatever else before, between and after.
`merge` keeps both (see merge.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from lrldata.card import in_yaml
from lrldata.manifest import fingerprint

BEGIN, END = "<!-- lrl:begin {} -->", "<!-- lrl:end {} -->"
_SECTION = re.compile(r"<!-- lrl:begin ([a-z-]+) -->\n(.*?)\n?<!-- lrl:end \1 -->", re.DOTALL)
_HEAD = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
_ABSENT = object()


class CardError(ValueError):
    """A README that cannot be read as a card."""


@dataclass(frozen=True)
class Card:
    """A card as we render it: `metadata` by key, `sections` by name, both in order."""

    metadata: Mapping[str, Any]
    sections: Mapping[str, str]

    @cached_property
    def text(self) -> str:
        """Return the README."""
        return join(self.metadata, "\n\n".join(mark(name, body) for name, body in self.sections.items()) + "\n")

    def record(self) -> dict[str, Any]:
        """Return what the next merge needs to know of this one: the metadata, and each section by hash."""
        return {
            "metadata": dict(self.metadata),
            "sections": {name: fingerprint(body) for name, body in self.sections.items()},
        }


@dataclass(frozen=True)
class Readme:
    """A README as it is found: metadata, as values and in YAML, and the text below with our sections that are in it."""

    metadata: Mapping[str, Any]
    head: str
    body: str
    sections: Mapping[str, str]


def mark(name: str, body: str) -> str:
    """Return a section with its markers."""
    return f"{BEGIN.format(name)}\n{body}\n{END.format(name)}"


def join(metadata: Mapping[str, Any], body: str, before: Readme | None = None) -> str:
    """Return a README of metadata and text; keys that are as they were `before` keep their layout and comments."""
    head = edited(before, metadata) if before else in_yaml(metadata)
    return f"---\n{head}---\n\n{body}"


def edited(before: Readme, metadata: Mapping[str, Any]) -> str:
    """Return the YAML of a README with other metadata, changed in the lines of those keys alone."""
    blocks = re.split(r"^(?=[^\s#\-\]}][^\n]*:)", before.head + "\n", flags=re.MULTILINE)
    lines: dict[str, str] = {}
    for block in blocks[1:]:
        try:
            (key,) = yaml.safe_load(block)
        except (yaml.YAMLError, ValueError, TypeError):  # anchors, or text over several lines: laid out anew
            return in_yaml(metadata)
        lines[str(key)] = block
    kept = {key: lines.get(key) for key in metadata if before.metadata.get(key, _ABSENT) == metadata[key]}
    ordered = [key for key in lines if key in metadata] + [key for key in metadata if key not in lines]
    text = blocks[0] + "".join(kept.get(key) or in_yaml({key: metadata[key]}) for key in ordered)
    return text if yaml.safe_load(text) == dict(metadata) else in_yaml(metadata)


def read(readme: str) -> Readme:
    """Read a README. Raises CardError where its metadata are not YAML, or a section of ours has no end."""
    readme = readme.removeprefix("\ufeff").replace("\r\n", "\n")
    head = _HEAD.match(readme)
    metadata: Any = {}
    if head:
        try:
            metadata = yaml.safe_load(head[1]) or {}
        except yaml.YAMLError as error:
            raise CardError(f"the metadata are not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(metadata, dict):
            raise CardError("the metadata are not a mapping")
    body = readme[head.end() :].lstrip("\r\n") if head else readme
    sections = dict(_SECTION.findall(body))
    if len(sections) != body.count("<!-- lrl:begin ") or len(sections) != body.count("<!-- lrl:end "):
        raise CardError("a marker <!-- lrl:begin … --> has no end, or is there twice")
    return Readme(metadata, head[1] if head else "", body, sections)


def replace_section(body: str, name: str, text: str | None) -> str:
    """Return the text with one section of ours exchanged; None takes it out, markers and all."""
    pattern = re.compile(rf"<!-- lrl:begin {name} -->\n.*?\n?<!-- lrl:end {name} -->(\n\n)?", re.DOTALL)
    if text is None:
        return pattern.sub("", body, count=1)
    return pattern.sub(lambda found: mark(name, text) + (found[1] or ""), body, count=1)
