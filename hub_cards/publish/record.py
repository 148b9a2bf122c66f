"""The record of a publication, lrl.json in the repository, which the next publication reads. Pure.

It contains the version, the hashes of the parts and their facts for the card, the content hashes of the pictures, the
card as it was rendered, and the manifests of each version.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from hub_cards.cards.card import DEEPEST, Card
from hub_cards.cards.dataset_card import dataset_card
from hub_cards.cards.measured import is_of_task
from hub_cards.publish.repository import Part, Repository
from lrldata.errors import LrlError, PublishError

RECORD = "lrl.json"
FORMAT = 1
WITH_TASKS = 2  # format of a record with task scores, which older versions of lrl cannot read
FIRST = "1.0.0"
Version = Annotated[str, Field(pattern=r"^[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Licence(_Strict):
    id: str
    name: str | None = None
    link: str | None = None


class _Input(_Strict):
    name: str
    sha256: str


class _Text(_Strict):
    """The source of an adapter's text, with the fields of `Source`."""

    model_config = ConfigDict(extra="forbid")

    samples: list[str] = []
    repository: str | None = None
    version: str | None = None
    inputs: list[_Input] = []
    sample: bool = False


class _Value(_Strict):
    value: float
    low: float
    high: float


class _Measured(_Strict):
    name: str
    split: str


class _Origin(_Strict):
    """The origin of sentences, as in a manifest of scores."""

    kind: str
    id: str | None = None
    manifest_sha256: str | None = None
    limit: PositiveInt | None = None
    cut: NonNegativeInt | None = None


class _Result(_Strict):
    metric: str
    data: str
    sentences: int
    after: _Value
    before: _Value | None
    ratio: _Value | None
    task: str
    of: _Measured
    language: str | None = None
    text: _Origin | None = None
    settings: dict[str, Any] | None = None


class _Score(_Strict):
    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class _Change(_Strict):
    change: _Score
    p: FiniteFloat
    p_corrected: FiniteFloat
    comparisons: PositiveInt
    runs: PositiveInt | None = None


class _Data(_Measured):
    id: str | None = None
    configuration: str | None = None


class _Transfer(_Strict):
    language: str


class _TaskResult(_Strict):
    """A task score, with the fields of `task_result`."""

    task: Literal["topic", "sentiment", "ner"]
    metric: str
    of: _Data
    language: str
    transfer: _Transfer | None
    settings: dict[str, Any]
    made_with: dict[str, Any]
    items: NonNegativeInt
    seeds: PositiveInt
    score: _Score
    sd: FiniteFloat | None
    against: _Change | None


class _Member(_Strict):
    """A fused adapter."""

    manifest_sha256: str
    language: str
    hub_code: str
    source: str
    cited: str


class _Model(_Strict):
    """The facts on an adapter's card that are not in its manifest. A base model has none."""

    licence: _Licence
    results: list[_TaskResult | _Result]
    text: _Text
    members: list[_Member] = []


class _Part(_Strict):
    model_config = ConfigDict(extra="forbid")

    schema_: str = Field(alias="schema")
    data: str
    manifest_sha256: str
    files: list[str]
    facts: dict[str, Any]


class _Entry(_Strict):
    version: Version
    parts: dict[str, str]


class _Card(_Strict):
    metadata: dict[str, Any]
    sections: dict[str, str]


class _Record(_Strict):
    format: int = Field(ge=FORMAT, le=WITH_TASKS)
    kind: Literal["dataset", "model"]
    version: Version
    parts: dict[str, _Part]
    pictures: dict[str, str]
    card: _Card
    history: list[_Entry]


class _FactsError(ValueError):
    """Facts that cannot be rendered as a card. The arguments are their path in the record."""


def read_record(repository: str, text: str) -> dict[str, Any]:
    """Read lrl.json. Raises PublishError if it is damaged or was written by a newer version of lrl."""
    try:
        record = json.loads(text)
        newer = isinstance(record, dict) and type(record.get("format")) is int and record["format"] > WITH_TASKS
        if not newer:
            _Record.model_validate(record)
            _check_depth(record, DEEPEST)
            for name, part in record["parts"].items():
                _check_facts(repository, name, part["facts"], record["kind"])
            json.dumps(record, ensure_ascii=False).encode()  # a lone surrogate could not be written again
    except (ValueError, RecursionError) as error:
        raise PublishError(
            f"{repository}: {RECORD} on the Hub is damaged{_where(error)}.",
            "Restore it from the history of the repository.",
        ) from error
    if newer:
        raise PublishError(f"{repository}: published by a newer version of lrl.", "Upgrade lrl.")
    return dict(record)


def _check_depth(value: object, left: int) -> None:
    """Raise ValueError if a value is nested too deeply to copy."""
    if not left:
        raise ValueError
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(part, left - 1)


def _check_facts(repository: str, name: str, facts: Mapping[str, Any], kind: str) -> None:
    """Raise _FactsError if no card can be made from facts, the only information on a dataset that is not here."""
    try:
        if kind == "dataset":
            dataset_card({name: facts}, repository, FIRST)
        elif facts:
            _Model.model_validate(facts)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, LrlError) as error:
        raise _FactsError("parts", name, "facts") from error


def _where(error: Exception) -> str:
    place: tuple[object, ...] = error.args if isinstance(error, _FactsError) else ()
    if isinstance(error, ValidationError):
        place = error.errors(include_input=False)[0]["loc"]
    return f" ({'.'.join(map(str, place))[:200]})" if place else ""


def write_record(
    repository: Repository, record: Mapping[str, Any] | None, version: str, parts: Mapping[str, Part], card: Card
) -> dict[str, Any]:
    """Return the record of a publication as it will be read back; `record` is the previous one."""
    paths = {path for part in parts.values() for path in part.files}
    known_pictures = record["pictures"] if record else {}
    shown = {picture.path: picture.shows for picture in repository.pictures}
    history = list(record["history"]) if record else []
    if not history or history[-1]["version"] != version:
        history.append(
            {"version": version, "parts": {name: part.manifest_sha256 for name, part in sorted(parts.items())}}
        )
    value = {
        "format": WITH_TASKS if any(map(_has_tasks, parts.values())) else FORMAT,
        "kind": repository.kind,
        "version": version,
        "parts": {name: asdict(part) for name, part in sorted(parts.items())},
        "pictures": dict(
            sorted(({path: shows for path, shows in known_pictures.items() if path in paths} | shown).items())
        ),
        "card": card.record(),
        "history": history,
    }
    return dict(json.loads(json.dumps(value)))  # tuples become lists


def _has_tasks(part: Part) -> bool:
    return any(map(is_of_task, part.facts.get("results", ())))


def tag_of(version: str) -> str:
    """Return the tag of a version: v1.0.0."""
    return f"v{version}"


def order_of(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, as a sort key."""
    return tuple(map(int, version.split(".")))


def next_version(parts: Mapping[str, Part], record: Mapping[str, Any] | None, tags: Collection[str]) -> str:
    """Return the version of these parts: the published one if data and schemas are unchanged, otherwise a new one."""
    if record is None:
        return free(FIRST, tags)
    published, version = record["parts"], str(record["version"])
    pairs = [(part, published[name]) for name, part in parts.items() if name in published]
    if any(part.schema != old["schema"] for part, old in pairs):
        return free(bump(version, 0), tags)
    if published.keys() != parts.keys() or any(part.data != old["data"] for part, old in pairs):
        return free(bump(version, 1), tags)
    return version


def bump(version: str, place: int) -> str:
    """Increment the number at `place` and set those after it to zero."""
    numbers = order_of(version)
    return ".".join(
        str(number + 1 if at == place else number if at < place else 0) for at, number in enumerate(numbers)
    )


def free(version: str, tags: Collection[str]) -> str:
    """Return this version, or the next one without an existing tag."""
    while tag_of(version) in tags:
        version = bump(version, 1)
    return version
