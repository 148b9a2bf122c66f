"""A card: metadata for the Hub in YAML, followed by sections of Markdown, each between markers. Pure.

The text between the markers is generated. People may edit it, and may write other text before, between and after the
sections. `merge` keeps both (see merge.py). A README may contain anything; one that cannot be handled is a CardError.
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

LONGEST, LINES = 1_000_000, 20_000  # characters and lines of a README; comparing larger ones takes minutes
LONGEST_HEAD = 250_000  # characters of metadata; PyYAML is slow
DEEPEST = 50  # nesting of lists and mappings in the metadata
MOST = 100_000  # values in the metadata; the content of an alias is counted at each use
LONGEST_NUMBER, MOST_BITS = 300, 990  # characters and bits; larger numbers are slow, or Python refuses to print them
BEGIN, END = "<!-- lrl:begin {} -->", "<!-- lrl:end {} -->"
_MARKER = re.compile(r"<!-- lrl:(begin|end) (?:([a-z-]+) -->)?")
_HEAD = re.compile(r"\s*---[ \t]*\n(?:(.*?)\n)??---[ \t]*(?:\n|$)", re.DOTALL)
_COMMENT = re.compile(r"#[^\n]*")
_COMMENT_OF_BLOCK = re.compile(r"(?<=\s)#[^\n]*")  # after the | or > that begins a block scalar
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_YAML = "tag:yaml.org,2002:"
_NUMBERS = {f"{_YAML}int", f"{_YAML}float"}
_KINDS = {*_NUMBERS, *(f"{_YAML}{kind}" for kind in ("null", "bool", "timestamp", "str", "seq", "map"))}
_ODD = (ValueError, ArithmeticError, LookupError, AttributeError, TypeError)  # PyYAML also raises these for odd values


class CardError(ValueError):
    """A README that cannot be read as a card."""


@dataclass(frozen=True)
class Card:
    """A generated card: `metadata` by key and `sections` by name, both in order."""

    metadata: Mapping[str, Any]
    sections: Mapping[str, str]

    @cached_property
    def text(self) -> str:
        """Return the README."""
        return join(self.metadata, "\n\n".join(mark(name, body) for name, body in self.sections.items()) + "\n")

    def record(self) -> dict[str, Any]:
        """Return what the next merge needs to know about this card: the metadata, and the hash of each section."""
        return {
            "metadata": dict(self.metadata),
            "sections": {name: fingerprint(body) for name, body in self.sections.items()},
        }


@dataclass(frozen=True)
class Readme:
    """An existing README: its metadata, as values and as YAML, the text below, and the generated sections in it."""

    metadata: Mapping[str, Any]
    head: str
    body: str
    sections: Mapping[str, str]


class _Loader(yaml.SafeLoader):
    """Loads YAML with JSON's types and dates; rejects duplicate keys and values that are too deep or too large.

    PyYAML itself keeps the last of two equal keys, which the Hub rejects, and builds values until Python gives up.
    """

    yaml_constructors = {  # noqa: RUF012 (the library declares this name so)
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag is None or tag in _KINDS
    }

    def __init__(self, text: str) -> None:
        self.depth = 0
        self.sizes: dict[yaml.Node, int] = {}  # of values that have been read completely
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Read a value and count the values in it. An alias is short, but its content is handled in full."""
        position = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        alias = self.check_event(yaml.AliasEvent)
        if self.depth == DEEPEST:
            raise _fault(f"lists and mappings are nested more than {DEEPEST} levels deep", position)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is None or (alias and node not in self.sizes):
            raise _fault("an alias refers to a value that contains it", position)
        if not alias:
            self.sizes[node] = 1 + sum(self.sizes[part] for part in _parts(node))
        if self.sizes[node] > MOST:
            raise _fault(f"there are more than {MOST:,} values", position)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Read a string, a number or a date."""
        node = super().compose_scalar_node(anchor)
        if _SURROGATE.search(node.value):
            raise _fault("a string contains half a surrogate pair", node.start_mark)
        if node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER:
            raise _fault(f"a number has {len(node.value):,} characters", node.start_mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read a mapping. The keys of the outermost mapping must be strings, as in the Hub's metadata."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            shown = f"the key {str(key.value)[:80]!r}" if isinstance(key, yaml.ScalarNode) else "a key"
            if not isinstance(key, yaml.ScalarNode):
                raise _fault(f"{shown} is not a string", key.start_mark)
            name = (key.tag,) if key.tag == f"{_YAML}merge" else self.construct_object(key)
            if name != name or (self.depth == 1 and not isinstance(name, str | tuple)):  # noqa: PLR0124 (only NaN)
                raise _fault(f"{shown} is not a string; put it in quotes", key.start_mark)
            if name in seen:
                raise _fault(f"{shown} is duplicated; keep one of them", key.start_mark)
            seen.add(name)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT002 (the library's signature)
        """Return the value of a node."""
        try:
            value = super().construct_object(node, deep)
        except _ODD as error:  # such as 2024-13-45 or !!int x
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
    """Return metadata from YAML with `above` lines before it. Raises CardError if it cannot be handled."""
    try:
        metadata = _Loader(head).get_single_data()
    except yaml.MarkedYAMLError as error:
        position = error.problem_mark or error.context_mark
        prefix = f"line {above + position.line + 1}: " if position else ""
        problem = ", ".join(filter(None, (error.context, error.problem)))[:200]
        raise CardError(f"{prefix}the metadata cannot be read: {problem}") from error
    except (yaml.YAMLError, *_ODD) as error:
        raise CardError(f"the metadata cannot be read: {one_line(error)}") from error
    if metadata is not None and not isinstance(metadata, dict):
        raise CardError("the metadata is not a mapping")
    return metadata or {}


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal in YAML, where NaN equals itself and true does not equal 1."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and one != one:  # noqa: PLR0124 (only NaN)
        return other != other  # noqa: PLR0124
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def as_list(value: Any) -> list[Any]:
    """Return a value of metadata as a list: most keys may hold one value, a list or nothing."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def mark(name: str, body: str) -> str:
    """Return a section between its markers."""
    return f"{BEGIN.format(name)}\n{body}\n{END.format(name)}"


def join(metadata: Mapping[str, Any], body: str, before: Readme | None = None) -> str:
    """Return a README with this metadata and text; keys unchanged since `before` keep their layout and comments."""
    head = edited(before, metadata) if before else in_yaml(metadata)
    return f"---\n{head}---\n\n{body}"


def edited(before: Readme, metadata: Mapping[str, Any]) -> str:
    """Return a README's YAML with new metadata. Only the lines of changed keys change, and comments stay.

    Raises CardError if no YAML can be written that reads back as the same metadata.
    """
    for write in (_by_key, lambda *_: _replaced(before.head, in_yaml(metadata))):
        try:
            text = write(before, metadata)
            if same(_load(text), metadata):
                return text
        except (CardError, yaml.YAMLError):  # an anchor was in a removed line, or the lines were not split correctly
            continue
    raise CardError("the metadata cannot be rewritten without changing its values")


def _by_key(before: Readme, metadata: Mapping[str, Any]) -> str:
    preamble, lines = _lines(before.head)
    changed = {
        key: in_yaml({key: value})
        for key, value in metadata.items()
        if key not in lines or not same(value, before.metadata[key])
    }
    texts = (
        text if key in metadata and key not in changed else _replaced(text, changed.get(key, ""))
        for key, text in lines.items()
    )
    return "".join((preamble, *texts, *(text for key, text in changed.items() if key not in lines)))


def _lines(head: str) -> tuple[str, dict[str, str]]:
    """Return the text above the first key, and the lines of each key with the comments below it."""
    root = _Loader(head).get_single_node()
    keys = [key for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    starts = [*(key.start_mark.index for key in keys), len(head)]
    return head[: starts[0]], {
        key.value: head[start:end] for key, (start, end) in zip(keys, pairwise(starts), strict=True)
    }


def _replaced(text: str, new: str) -> str:
    """Return new YAML in place of these lines. Comments within them move above it, and those below them stay below."""
    comments, position = [], 0
    for token in yaml.scan(text):
        start, end = token.start_mark.index, token.end_mark.index
        if start < end:
            comments += _COMMENT.findall(text[position:start])
            if isinstance(token, yaml.ScalarToken) and token.style in ("|", ">"):
                comments += _COMMENT_OF_BLOCK.findall(text[start:end].partition("\n")[0])
            position = end
    if position and text[position - 1] != "\n":
        line, _, _ = text[position:].partition("\n")
        comments += _COMMENT.findall(line)
        position += len(line) + 1
    return "".join(f"{comment}\n" for comment in comments) + new + text[position:]


def read(readme: str) -> Readme:
    """Read a README. Raises CardError for metadata that the Hub would reject, or a generated section without an end."""
    readme = readme.removeprefix("\ufeff").replace("\r\n", "\n")
    head = _HEAD.match(readme)
    text = head[1] + "\n" if head and head[1] else ""
    for problem, count, limit in (
        ("it has {} characters", len(readme), LONGEST),
        ("it has {} lines", readme.count("\n"), LINES),
        ("the metadata has {} characters", len(text), LONGEST_HEAD),
    ):
        if count > limit:
            raise CardError(f"{problem.format(f'{count:,}')}; at most {limit:,} can be read")
    metadata = _load(text, readme[: head.start(1)].count("\n")) if head and text else {}
    body = readme[head.end() :].lstrip("\n") if head else readme
    return Readme(metadata, text, body, _sections(body, readme.count("\n") - body.count("\n")))


def _sections(body: str, above: int) -> dict[str, str]:
    """Return the generated sections by name. Raises CardError if a marker is unpaired or a name occurs twice."""
    sections: dict[str, str] = {}
    name, start = "", 0
    for marker in _MARKER.finditer(body):
        begins = marker[1] == "begin" and not name and marker[2] not in sections and body[marker.end() :][:1] == "\n"
        if not marker[2] or not (begins or (marker[1] == "end" and marker[2] == name and marker.start() >= start)):
            raise _unpaired(above + body[: marker.start()].count("\n"))
        if begins:
            name, start = marker[2], marker.end() + 1
        else:
            sections[name] = body[start : marker.start()].removesuffix("\n")
            name = ""
    if name:
        raise _unpaired(above + body[:start].count("\n") - 1)
    return sections


def _unpaired(above: int) -> CardError:
    return CardError(f"line {above + 1}: a marker <!-- lrl:begin … --> has no end or is duplicated")


def replace_section(body: str, name: str, text: str | None) -> str:
    """Return the text with one generated section replaced; None removes the section and its markers."""
    begin, end = re.escape(BEGIN.format(name)), re.escape(END.format(name))
    pattern = re.compile(rf"{begin}\n.*?\n?{end}(\n\n)?", re.DOTALL)
    if text is None:
        return pattern.sub("", body, count=1)
    return pattern.sub(lambda match: mark(name, text) + (match[1] or ""), body, count=1)
