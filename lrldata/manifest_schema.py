"""The keys and types that a manifest of each kind must have. Pure.

Further keys are allowed: those of a newer version, and those that only people read.
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
Code = Annotated[str, Text(pattern=r"^[A-Za-z0-9_-]{2,16}$")]  # e.g. zh_Hant
Name = Annotated[str, Text(min_length=1, max_length=500)]
Counts = dict[str, NonNegativeInt]


def _safe(name: str) -> str:
    if not is_safe(name):
        raise ValueError("not a path inside the folder")
    return name


def _segment(name: str) -> str:
    if not is_segment(name):
        raise ValueError("not a valid folder name")
    return name


def _model_id(name: str) -> str:
    """Return an id unchanged if its last part, which names folders, cannot lead elsewhere."""
    last = name.rstrip("/").rpartition("/")[2]
    if last in ("", ".", "..") or not last.isprintable():
        raise ValueError("not a valid folder name")
    return name


Segment = Annotated[Name, AfterValidator(_segment)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, defer_build=True)  # many commands read no manifest


class File(_Part):
    """An output, by its path in the folder."""

    path: Annotated[str, AfterValidator(_safe)]
    bytes: NonNegativeInt
    sha256: Sha256


class _Manifest(_Part):
    sha256: Sha256 | None = None


class Source(_Part):
    """A file that an index or a dataset was made from."""

    name: Name
    bytes: NonNegativeInt
    sha256: Annotated[str, Text(min_length=4, max_length=100)]  # a small file on the Hub has its git hash instead


class IndexManifest(_Manifest):
    """The manifest of an index of a ConceptNet dump."""

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
    def _check_paths(self) -> Self:
        paths = [output.path for output in self.outputs]
        if len(set(paths)) < len(paths):
            raise ValueError("outputs: a path occurs twice")
        return self


class _Tally(_Part):
    rows: NonNegativeInt
    bytes: NonNegativeInt

    def tally(self) -> Tally:
        return Tally(self.rows, self.bytes)


class LedgerPart(_Part):
    """A ledger whose sums match."""

    came_in: _Tally = Field(alias="in")
    kept: _Tally
    dropped: dict[str, _Tally]
    unsaid_relations: Counts = {}
    repaired: Counts = {}
    judged_right: _Tally | None = None

    @model_validator(mode="after")
    def _check_sums(self) -> Self:
        dropped = {reason: tally.tally() for reason, tally in self.dropped.items()}
        try:
            right = self.judged_right.tally() if self.judged_right else Tally()
            Ledger(self.came_in.tally(), self.kept.tally(), dropped, self.unsaid_relations, judged_right=right)
        except AssertionError as error:
            raise ValueError("the ledger does not add up") from error
        return self


class Version(_Part):
    """A version that the dataset has had, and the hash of its content."""

    version: Annotated[str, Text(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}$")]
    content: Sha256


class DatasetInput(Source):
    """A file that a dataset was made from."""

    rejected_lines: NonNegativeInt


class DatasetManifest(_Artifact):
    """The manifest of a dataset."""

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
    def _check_consistency(self) -> Self:
        if self.ledger.kept.rows != sum(self.rows.values()) and self.source == "conceptnet":
            raise ValueError("rows: their sum differs from the ledger")
        if unknown := self.ledger.dropped.keys() - reasons_of(self.source).keys():
            raise ValueError(f"ledger: unknown reason {min(unknown)!r}")
        if self.rows.keys() != self.num_bytes.keys():
            raise ValueError("rows and num_bytes have different splits")
        if self.version not in {entry.version for entry in self.history}:
            raise ValueError("version: not in the history")
        return self


class Base(_Part):
    """A base model, or the model that was prompted."""

    id: Annotated[Name, AfterValidator(_model_id)]
    revision: str | None = None
    objective: str | None = None
    content: str | None = None


class AdapterInput(_Part):
    """A text, or an adapter that was fused."""

    kind: Name
    name: str


class AdapterText(_Part):
    """A file that the dataset was made from."""

    name: str
    sha256: Sha256


class Trained(_Part):
    """The results of training."""

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
    """The origin of a text: a dataset's inputs, or the commit of a dataset on the Hub."""

    inputs: list[AdapterText] = []
    sample: bool = False
    commit: str | None = None


class AdapterManifest(_Artifact):
    """The manifest of an adapter; `run` has the hash of run.json, which differs from run to run."""

    kind: Literal["adapter"]
    name: Segment
    language: Language
    method: Annotated[str, Text(pattern=r"^\w{1,40}$")]
    base: Base
    weights: Sha256 | None = None  # of the files of the base model that transformers reads
    source: str | None = None
    variant: Segment | None = None
    inputs: list[AdapterInput]
    text: TextOfAdapter | None = None
    settings: dict[str, Any]
    trained: Trained
    run: File | None = None


class Link(_Part):
    """The adapter that was evaluated."""

    name: Segment
    manifest_sha256: Sha256


class Data(_Part):
    """The data of an evaluation."""

    name: Name


class TextOfScores(_Part):
    """The text of a perplexity. At most `limit` sentences were read; the ends of `cut` sentences were not.

    `unknown` is the share of tokens that are not in the model's vocabulary.
    """

    kind: Literal["flores", "hub", "dataset", "file"]
    id: Name | None = None
    manifest_sha256: Sha256 | None = None
    limit: NonNegativeInt | None = None
    cut: NonNegativeInt | None = None
    unknown: Annotated[float, Field(ge=0, le=1)] | None = None


class ScoresManifest(_Artifact):
    """The manifest of a perplexity, or of a task run, which has more keys; `run` has the hash of run.json."""

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
    run: File | None = None

    @model_validator(mode="after")
    def _check_task(self) -> Self:
        if self.task == "pppl":
            if not isinstance(self.settings.get("formula"), str):
                raise ValueError("settings: formula is missing")
        elif self.language is None or self.method is None or self.result is None:
            raise ValueError("language, method and result are required for a task run")
        elif not isinstance(self.settings.get("seed"), int):
            raise ValueError("settings: seed is missing")
        return self


SCHEMAS: Mapping[str, type[_Manifest]] = {
    INDEX: IndexManifest,
    DATASET: DatasetManifest,
    ADAPTER: AdapterManifest,
    SCORES: ScoresManifest,
}
