"""What a manifest of each kind must hold, and of which types. Pure.

More keys may stand there: those of a newer version, and those that only people read.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, model_validator
from pydantic import StringConstraints as Text

from lrldata.ledger import Ledger, Tally, reasons_of
from lrldata.paths import is_safe, is_segment

INDEX, DATASET, ADAPTER, SCORES = "conceptnet-index", "dataset", "adapter", "scores"
COLUMN_TYPES = Literal["String", "Float64", "Float32", "Int64", "Int32", "UInt32", "Boolean"]
Sha256 = Annotated[str, Text(pattern=r"^[0-9a-f]{64}$")]
Code = Annotated[str, Text(pattern=r"^[A-Za-z0-9_-]{2,16}$")]  # as zh_Hant
Name = Annotated[str, Text(min_length=1, max_length=500)]
Counts = dict[str, NonNegativeInt]


def _safe(name: str) -> str:
    if not is_safe(name):
        raise ValueError("not a path inside of the folder")
    return name


def _segment(name: str) -> str:
    if not is_segment(name):
        raise ValueError("not a name that a folder can have")
    return name


def _ending(name: str) -> str:
    """Pass an id whose last part, of which folders are named, leads nowhere else."""
    last = name.rstrip("/").rpartition("/")[2]
    if last in ("", ".", "..") or not last.isprintable():
        raise ValueError("not a name that a folder can have")
    return name


Segment = Annotated[Name, AfterValidator(_segment)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, defer_build=True)  # not every command reads a manifest


class File(_Part):
    """An output by its path in the folder."""

    path: Annotated[str, AfterValidator(_safe)]
    bytes: NonNegativeInt
    sha256: Sha256


class _Manifest(_Part):
    sha256: Sha256 | None = None


class Source(_Part):
    """What an index or a dataset was made from."""

    name: Name
    bytes: NonNegativeInt
    sha256: Annotated[str, Text(min_length=4, max_length=100)]  # of a small file on the Hub its name in git


class IndexManifest(_Manifest):
    """That of an index of a ConceptNet dump."""

    kind: Literal["conceptnet-index"]
    format: int
    source: Source
    rejected: NonNegativeInt
    edges: NonNegativeInt
    languages: Counts
    relations: Counts
    bytes: NonNegativeInt
    xxh3: str | None = None


class Language(_Part):
    """The language of an artifact."""

    code: Code
    name: Name


class _Artifact(_Manifest):
    recipe: str
    outputs: list[File]
    made_with: dict[str, str] = {}

    @model_validator(mode="after")
    def _once(self) -> Self:
        paths = [each.path for each in self.outputs]
        if len(set(paths)) < len(paths):
            raise ValueError("outputs: a path is there twice")
        return self


class _Tally(_Part):
    rows: NonNegativeInt
    bytes: NonNegativeInt

    def tally(self) -> Tally:
        return Tally(self.rows, self.bytes)


class LedgerPart(_Part):
    """A ledger, whose sums match."""

    came_in: _Tally = Field(alias="in")
    kept: _Tally
    dropped: dict[str, _Tally]
    unsaid_relations: Counts = {}
    repaired: Counts = {}
    judged_right: _Tally | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        dropped = {reason: each.tally() for reason, each in self.dropped.items()}
        try:
            right = self.judged_right.tally() if self.judged_right else Tally()
            Ledger(self.came_in.tally(), self.kept.tally(), dropped, self.unsaid_relations, judged_right=right)
        except AssertionError as error:
            raise ValueError("the ledger does not add up") from error
        return self


class Version(_Part):
    """A version that a dataset has had, and the hash of its content."""

    version: Annotated[str, Text(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")]
    content: Sha256


class DatasetInput(Source):
    """A file that a dataset was made from."""

    rejected_lines: NonNegativeInt


class DatasetManifest(_Artifact):
    """That of a dataset."""

    kind: Literal["dataset"]
    version: Annotated[str, Text(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")]
    source: Annotated[str, Text(pattern=r"^[\w.-]{1,100}$")]
    language: Language
    settings: dict[str, Any]
    inputs: list[DatasetInput]
    sample: bool
    ledger: LedgerPart
    rows: Counts
    num_bytes: Counts
    columns: dict[str, COLUMN_TYPES]
    history: Annotated[list[Version], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.ledger.kept.rows != sum(self.rows.values()) and self.source == "conceptnet":
            raise ValueError("rows: not as many as the ledger keeps")
        if unknown := self.ledger.dropped.keys() - reasons_of(self.source).keys():
            raise ValueError(f"ledger: unknown reason {min(unknown)!r}")
        if self.rows.keys() != self.num_bytes.keys():
            raise ValueError("rows and num_bytes are of other splits")
        if self.version not in {each.version for each in self.history}:
            raise ValueError("version: not in the history")
        return self


class Base(_Part):
    """A base model, or one that was prompted."""

    id: Annotated[Name, AfterValidator(_ending)]
    revision: str | None = None
    objective: str | None = None
    content: str | None = None


class AdapterInput(_Part):
    """Text, or an adapter that was fused."""

    kind: Name
    name: str


class AdapterText(_Part):
    """A file that the dataset was made from."""

    name: str
    sha256: Sha256


class Trained(_Part):
    """What came of training."""

    steps: NonNegativeInt
    best_step: NonNegativeInt
    validation_loss_before: FiniteFloat
    validation_loss: FiniteFloat
    tokens: NonNegativeInt
    corpus: dict[str, Counts]
    parameters: NonNegativeInt
    parameters_of_base: NonNegativeInt
    batching: Name


class TextOfAdapter(_Part):
    """What a text is, beside what it is known by: a dataset's inputs, or the commit of one on the Hub."""

    inputs: list[AdapterText] = []
    sample: bool = False
    commit: str | None = None


class AdapterManifest(_Artifact):
    """That of an adapter; `run` vouches for run.json, which differs from run to run."""

    kind: Literal["adapter"]
    name: Segment
    language: Language
    method: Annotated[str, Text(pattern=r"^\w{1,40}$")]
    base: Base
    weights: Sha256 | None = None  # of the base model, of those files that transformers reads
    source: str | None = None
    variant: Segment | None = None
    inputs: list[AdapterInput]
    text: TextOfAdapter | None = None
    settings: dict[str, Any]
    trained: Trained
    run: File | None = None


class Link(_Part):
    """The adapter that was measured."""

    name: Segment
    manifest_sha256: Sha256


class Data(_Part):
    """What was measured on."""

    name: Name


class TextOfScores(_Part):
    """What the sentences of a perplexity are of; only `limit` were read, and the end of `cut` was not.

    `unknown` is the share of the tokens that the model's vocabulary does not have.
    """

    kind: Literal["flores", "hub", "dataset", "file"]
    id: Name | None = None
    manifest_sha256: Sha256 | None = None
    limit: NonNegativeInt | None = None
    cut: NonNegativeInt | None = None
    unknown: Annotated[float, Field(ge=0, le=1)] | None = None


class ScoresManifest(_Artifact):
    """That of a perplexity, or of a run of a task, which has more."""

    kind: Literal["scores"]
    task: Annotated[str, Text(pattern=r"^\w{1,40}$")]
    data: Data
    base: Base
    adapter: Link | None
    settings: dict[str, Any]
    language: Code | None = None
    method: Name | None = None
    source: str | None = None
    result: dict[str, FiniteFloat] | None = None
    text: TextOfScores | None = None

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.task == "pppl":
            if not isinstance(self.settings.get("formula"), str):
                raise ValueError("settings: formula is missing")
        elif self.language is None or self.method is None or self.result is None:
            raise ValueError("language, method and result: a run of a task has them")
        elif not isinstance(self.settings.get("seed"), int):
            raise ValueError("settings: seed is missing")
        return self


SCHEMAS: Mapping[str, type[_Manifest]] = {
    INDEX: IndexManifest,
    DATASET: DatasetManifest,
    ADAPTER: AdapterManifest,
    SCORES: ScoresManifest,
}
