"""Sample lines: as samples.json has them, and as a page shows them, which trusts nothing of web text. Pure."""

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

LONGEST_TEXT, LONGEST_NAME = 700, 160  # characters; what is longer is cut
# Control characters, but for tab and newline, have pictures in Unicode.
_PICTURES = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {127: 0x2421}
_TAG = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Sample(_Part):
    """A line, where it is from, and what it was taken for; `rows` is how many lines it stands for."""

    text: str
    doc: str = ""
    url: str | None = None
    language: str | None = None
    probability: float | None = None
    rows: int = 1


class Threshold(_Part):
    """A rule with a number: how many lines have which value, and kept lines that nearly went.

    Bin i has the lines from edges[i] to below edges[i + 1]; `rows` and `bytes` are counts a bin.
    """

    rule: str
    reason: str
    what: str
    unit: str = ""
    value: FiniteFloat
    side: Literal["below", "above"]
    edges: tuple[FiniteFloat, ...] = Field(min_length=2)
    rows: tuple[NonNegativeInt, ...]
    bytes: tuple[NonNegativeInt, ...]
    near: tuple[Sample, ...] = ()

    @model_validator(mode="after")
    def _bins_fit(self) -> Self:
        if not len(self.rows) == len(self.bytes) == len(self.edges) - 1:
            raise ValueError("bins and edges do not fit together")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError("edges do not ascend")
        return self


class Samples(_Part):
    """What samples.json of a dataset folder holds."""

    thresholds: tuple[Threshold, ...] = ()
    dropped: dict[str, tuple[Sample, ...]] = {}
    kept: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Shown:
    """A sample as a page shows it: `key` tells it from others in every report, `href` is safe to follow, or empty."""

    key: str
    text: str
    doc: str
    place: str
    href: str
    tag: str
    taken_for: str
    rows: int


@dataclass(frozen=True)
class Group:
    """Samples that are judged by one question: those kept, those near a threshold, or those dropped for one reason."""

    name: str
    kind: Literal["kept", "near", "dropped"]
    words: str
    step: str
    total: int | None
    samples: tuple[Shown, ...]


def shown(samples: Iterable[Sample], group: str) -> tuple[Shown, ...]:
    """Bring the samples of a group to the form in which a page shows them."""
    seen: Counter[str] = Counter()
    made = []
    for sample in samples:
        key = xxh3_64_hexdigest(f"{group}\0{sample.doc}\0{sample.text}".encode())
        seen[key] += 1
        place, href = link(sample.url)
        made.append(
            Shown(
                key if seen[key] == 1 else f"{key}-{seen[key]}",
                visible(sample.text, LONGEST_TEXT),
                visible(sample.doc, LONGEST_NAME),
                place,
                href,
                _tag(sample.language),
                _taken_for(sample),
                sample.rows,
            )
        )
    return tuple(made)


def link(url: str | None) -> tuple[str, str]:
    """Return how an address is shown, and where it leads: nowhere, unless it is one of http or https with a host."""
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
    """Cut a text that is too long, and show control characters by their pictures."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return cut.translate(_PICTURES)


def _tag(language: str | None) -> str:
    """Return the value of HTML's `lang`; empty, which means unknown, for what is no tag."""
    tag = (language or "").replace("_", "-")
    return tag if _TAG.fullmatch(tag) else ""


def _taken_for(sample: Sample) -> str:
    if not sample.language:
        return ""
    name = visible(language_name(sample.language), LONGEST_NAME)
    return name if sample.probability is None else f"{name} {sample.probability:.2f}"
