"""Sample lines, as samples.json stores them and as a page shows them. Text from the web is not trusted. Pure."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, model_validator
from xxhash import xxh3_64_hexdigest

from lrldata.language import language_name

LONGEST_TEXT, LONGEST_NAME = 700, 160  # characters; longer text is cut
# Unicode's pictures of the control characters, except tab and newline.
_PICTURES = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {127: 0x2421}
_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Sample(_Part):
    """A line, its origin, and the language identified."""

    text: str
    doc: str = ""
    url: str | None = None
    language: str | None = None
    probability: float | None = None


class Threshold(_Part):
    """A rule with a number: how its values are distributed over the lines, and kept lines that were nearly dropped.

    Bin i has the lines from edges[i] to below edges[i + 1]; `rows` and `bytes` are counts per bin.
    """

    rule: str
    reason: str
    what: str
    value: FiniteFloat
    side: Literal["below", "above"]
    edges: tuple[FiniteFloat, ...] = Field(min_length=2)
    rows: tuple[NonNegativeInt, ...]
    bytes: tuple[NonNegativeInt, ...]
    near: tuple[Sample, ...] = ()

    @model_validator(mode="after")
    def _bins_fit(self) -> Self:
        if not len(self.rows) == len(self.bytes) == len(self.edges) - 1:
            raise ValueError("the numbers of bins and edges do not match")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("the edges are not in ascending order")
        return self


class Samples(_Part):
    """The contents of samples.json in a dataset folder."""

    thresholds: tuple[Threshold, ...] = ()
    dropped: dict[str, tuple[Sample, ...]] = {}
    kept: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class DisplayedSample:
    """A sample as a page shows it. `key` identifies it in every report; `href` is safe to follow, or empty."""

    key: str
    text: str
    doc: str
    place: str
    href: str
    tag: str
    taken_for: str


@dataclass(frozen=True)
class Group:
    """Samples judged by the same question: kept lines, lines near a threshold, or lines dropped for one reason."""

    name: str
    kind: Literal["kept", "near", "dropped"]
    words: str
    step: str
    total: int | None
    samples: tuple[DisplayedSample, ...]


def for_display(samples: Iterable[Sample], group: str) -> tuple[DisplayedSample, ...]:
    """Return the samples of a group in the form in which a page shows them."""
    seen: Counter[str] = Counter()
    result = []
    for sample in samples:
        key = xxh3_64_hexdigest(f"{group}\0{sample.doc}\0{sample.text}".encode())
        seen[key] += 1
        place, href = link(sample.url)
        result.append(
            DisplayedSample(
                key if seen[key] == 1 else f"{key}-{seen[key]}",
                visible(sample.text, LONGEST_TEXT),
                visible(sample.doc, LONGEST_NAME),
                place,
                href,
                _tag(sample.language),
                _taken_for(sample),
            )
        )
    return tuple(result)


def link(url: str | None) -> tuple[str, str]:
    """Return the text and the target of a link. The target is empty unless the URL is http or https with a host."""
    if not url:
        return "", ""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        return visible(url, LONGEST_NAME), ""
    return visible(host, LONGEST_NAME), url.strip()


def visible(text: str, longest: int) -> str:
    """Cut a text that is too long, and replace control characters by their pictures."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return cut.translate(_PICTURES)


def _tag(language: str | None) -> str:
    """Return the value of HTML's `lang`. It is empty, which means unknown, if the language is not a valid tag."""
    tag = (language or "").replace("_", "-")
    return tag if _TAG.fullmatch(tag) else ""


def _taken_for(sample: Sample) -> str:
    if not sample.language:
        return ""
    name = visible(language_name(sample.language), LONGEST_NAME)
    return name if sample.probability is None else f"{name} {sample.probability:.2f}"
