"""A card: metadata for the Hub in YAML, then sections of Markdown, each between markers. Pure.

Between the markers is what we wrote; a person may edit it, and may write whatever else before, between and after.
`merge` keeps both (see merge.py). A README may hold anything: what cannot be handled is a CardError.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import yaml

from lrldata.card import in_yaml
from lrldata.errors import one_line
from lrldata.manifest import fingerprint

LONGEST, LINES = 1_000_000, 20_000  # characters and lines of a README: to compare more takes minutes
LONGEST_HEAD = 250_000  # characters of metadata, which PyYAML reads slowly
DEEPEST = 50  # lists and mappings of metadata within each other
MOST = 100_000  # values of metadata, with what an alias stands for counted each time
LONGEST_NUMBER, MOST_BITS = 300, 990  # characters and size: Python takes long for more, or refuses to write them
BEGIN, END = "<!-- lrl:begin {} -->", "<!-- lrl:end {} -->"
_MARKER = re.compile(r"<!-- lrl:(begin|end) (?:([a-z-]+) -->)?")
_HEAD = re.compile(r"\s*---[ \t]*\n(?:(.*?)\n)??---[ \t]*(?:\n|$)", re.DOTALL)
_COMMENT = re.compile(r"#[^\n]*")
_COMMENT_OF_BLOCK = re.compile(r"(?<=\s)#[^\n]*")  # behind the | or > that begins a text of several lines
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_YAML = "tag:yaml.org,2002:"
_NUMBERS = {f"{_YAML}int", f"{_YAML}float"}
_KINDS = {*_NUMBERS, *(f"{_YAML}{kind}" for kind in ("null", "bool", "timestamp", "str", "seq", "map"))}
_ODD = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError)  # what PyYAML lets through of odd values


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


class _Loader(yaml.SafeLoader):
    """YAML of the values that JSON has, and of dates, with no key twice, and nothing too deep or too large to handle.

    PyYAML takes the last of two keys, which the Hub refuses, and builds anything until Python gives up.
    """

    yaml_constructors = {  # noqa: RUF012 (the library's own name, which it declares so)
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag is None or tag in _KINDS
    }

    def __init__(self, text: str) -> None:
        self.depth = 0
        self.sizes: dict[yaml.Node, int] = {}  # of values that are read to their end
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Read a value, and count what it holds: an alias is short, but what it stands for is compared and written."""
        at = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        alias = self.check_event(yaml.AliasEvent)
        if self.depth == DEEPEST:
            raise _fault(f"lists and mappings are more than {DEEPEST} deep", at)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is None or (alias and node not in self.sizes):
            raise _fault("an alias stands for what it is in", at)
        if not alias:
            self.sizes[node] = 1 + sum(self.sizes[part] for part in _parts(node))
        if self.sizes[node] > MOST:
            raise _fault(f"there are more than {MOST:,} values", at)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Read a text, a number or a date."""
        node = super().compose_scalar_node(anchor)
        if _SURROGATE.search(node.value):
            raise _fault("a text has half a surrogate pair", node.start_mark)
        if node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER:
            raise _fault(f"a number has {len(node.value):,} characters", node.start_mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read a mapping. The keys of the outermost one are text, as those of the Hub's metadata are."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            shown = f"the key {str(key.value)[:80]!r}" if isinstance(key, yaml.ScalarNode) else "a key"
            if not isinstance(key, yaml.ScalarNode):
                raise _fault(f"{shown} is not text", key.start_mark)
            name = (key.tag,) if key.tag == f"{_YAML}merge" else self.construct_object(key)
            if name != name or (self.depth == 1 and not isinstance(name, str | tuple)):  # noqa: PLR0124 (NaN alone)
                raise _fault(f"{shown} is not text; put it in quotes", key.start_mark)
            if name in seen:
                raise _fault(f"{shown} is there twice; keep one of them", key.start_mark)
            seen.add(name)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT002 (the library's)
        """Return the value of a node."""
        try:
            value = super().construct_object(node, deep)
        except _ODD as error:  # as 2024-13-45 or !!int x
            raise _fault(f"{str(node.value)[:80]!r} is not a valid date, number or boolean", node.start_mark) from error
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise _fault(f"the number {node.value[:80]!r}… is too large", node.start_mark)
        return value


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _fault(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _load(head: str, above: int = 0) -> dict[str, Any]:
    """Return metadata from YAML that has so many lines above it. Raises CardError for what cannot be handled."""
    try:
        found = _Loader(head).get_single_data()
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        place = f"line {above + at.line + 1}: " if at else ""
        problem = ", ".join(filter(None, (error.context, error.problem)))[:200]
        raise CardError(f"{place}the metadata cannot be read: {problem}") from error
    except (yaml.YAMLError, *_ODD) as error:
        raise CardError(f"the metadata cannot be read: {one_line(error)}") from error
    if found is not None and not isinstance(found, dict):
        raise CardError("the metadata are not a mapping")
    return found or {}


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same in YAML, where NaN is itself, and true is not 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and one != one:  # noqa: PLR0124 (NaN alone)
        return other != other  # noqa: PLR0124
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def mark(name: str, body: str) -> str:
    """Return a section with its markers."""
    return f"{BEGIN.format(name)}\n{body}\n{END.format(name)}"


def join(metadata: Mapping[str, Any], body: str, before: Readme | None = None) -> str:
    """Return a README of metadata and text; keys that are as they were `before` keep their layout and comments."""
    head = edited(before, metadata) if before else in_yaml(metadata)
    return f"---\n{head}---\n\n{body}"


def edited(before: Readme, metadata: Mapping[str, Any]) -> str:
    """Return the YAML of a README with other metadata, changed in the lines of those keys alone; comments stay.

    Raises CardError where it cannot be written so that the same is read from it.
    """
    for write in (_by_key, lambda *_: _replaced(before.head, in_yaml(metadata))):
        try:
            text = write(before, metadata)
            if same(_load(text), metadata):
                return text
        except (CardError, yaml.YAMLError):  # an anchor was in lines that are gone, or the lines are not as they seemed
            continue
    raise CardError("the metadata cannot be written again as they are")


def _by_key(before: Readme, metadata: Mapping[str, Any]) -> str:
    above, lines = _lines(before.head)
    new = {
        key: in_yaml({key: value})
        for key, value in metadata.items()
        if key not in lines or not same(value, before.metadata[key])
    }
    kept = (
        text if key in metadata and key not in new else _replaced(text, new.get(key, "")) for key, text in lines.items()
    )
    return "".join((above, *kept, *(text for key, text in new.items() if key not in lines)))


def _lines(head: str) -> tuple[str, dict[str, str]]:
    """Return what stands above the first key, and the lines of each key with the comments below it."""
    root = _Loader(head).get_single_node()
    keys = [key for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    places = [*(key.start_mark.index for key in keys), len(head)]
    return head[: places[0]], {
        key.value: head[start:end] for key, (start, end) in zip(keys, pairwise(places), strict=True)
    }


def _replaced(text: str, new: str) -> str:
    """Return other YAML in the place of these lines; comments within them go above it, those below them stay below."""
    comments, at = [], 0
    for token in yaml.scan(text):
        start, end = token.start_mark.index, token.end_mark.index
        if start < end:
            comments += _COMMENT.findall(text[at:start])
            if isinstance(token, yaml.ScalarToken) and token.style in ("|", ">"):
                comments += _COMMENT_OF_BLOCK.findall(text[start:end].partition("\n")[0])
            at = end
    if at and text[at - 1] != "\n":
        line, _, _ = text[at:].partition("\n")
        comments += _COMMENT.findall(line)
        at += len(line) + 1
    return "".join(f"{comment}\n" for comment in comments) + new + text[at:]


def read(readme: str) -> Readme:
    """Read a README. Raises CardError for metadata that the Hub would not take, or a section of ours without an end."""
    readme = readme.removeprefix("\ufeff").replace("\r\n", "\n")
    head = _HEAD.match(readme)
    text = head[1] + "\n" if head and head[1] else ""
    for what, number, most in (
        ("it has {} characters", len(readme), LONGEST),
        ("it has {} lines", readme.count("\n"), LINES),
        ("the metadata have {} characters", len(text), LONGEST_HEAD),
    ):
        if number > most:
            raise CardError(f"{what.format(f'{number:,}')}, and at most {most:,} can be read")
    metadata = _load(text, readme[: head.start(1)].count("\n")) if head and text else {}
    body = readme[head.end() :].lstrip("\n") if head else readme
    return Readme(metadata, text, body, _sections(body, readme.count("\n") - body.count("\n")))


def _sections(body: str, above: int) -> dict[str, str]:
    """Return our sections by name. Raises CardError where their markers are not in pairs, each name once."""
    found: dict[str, str] = {}
    name, start = "", 0
    for marker in _MARKER.finditer(body):
        begins = marker[1] == "begin" and not name and marker[2] not in found and body[marker.end() :][:1] == "\n"
        if not marker[2] or not (begins or (marker[1] == "end" and marker[2] == name and marker.start() >= start)):
            raise _unpaired(above + body[: marker.start()].count("\n"))
        if begins:
            name, start = marker[2], marker.end() + 1
        else:
            found[name] = body[start : marker.start()].removesuffix("\n")
            name = ""
    if name:
        raise _unpaired(above + body[:start].count("\n") - 1)
    return found


def _unpaired(above: int) -> CardError:
    return CardError(f"line {above + 1}: a marker <!-- lrl:begin … --> has no end, or is there twice")


def replace_section(body: str, name: str, text: str | None) -> str:
    """Return the text with one section of ours exchanged; None takes it out, markers and all."""
    pattern = re.compile(rf"<!-- lrl:begin {name} -->\n.*?\n?<!-- lrl:end {name} -->(\n\n)?", re.DOTALL)
    if text is None:
        return pattern.sub("", body, count=1)
    return pattern.sub(lambda found: mark(name, text) + (found[1] or ""), body, count=1)
