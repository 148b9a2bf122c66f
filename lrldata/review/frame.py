"""The sampling frame: lines of a dataset that speakers may be asked about, in strata of known size. IO.

Kept lines of web text are in three strata by risk: how certain the identification of their language is, and how close
they are to the thresholds for letters. Sentences from ConceptNet are in strata by relation. Dropped lines are those of
samples.json, in one stratum per reason; reasons that are not about the line itself, such as duplicates, are left out.
Lines within a stratum are in the order of their hashes, which is random but always the same. Lines that have verdicts
on another version are not offered again: lines that have since been added, or changed, could not be among them, so they
are no sample of this version.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from lrldata.dataset import SAMPLES, VERDICTS, OpenDataset, open_shards
from lrldata.errors import UsageError, one_line
from lrldata.folder import prevent_exchange
from lrldata.langid import load_model
from lrldata.ledger import from_json
from lrldata.manifest import DATASET, SEAL, DamagedError, fingerprint, load_manifest, write_json
from lrldata.paths import find as find_file
from lrldata.paths import inside
from lrldata.report.read import read_samples
from lrldata.review.decisions import judged_lines
from lrldata.review.verdicts import UNDECIDED, Line, line_id, outcomes, read_all
from lrldata.web.clean import rules
from lrldata.web.line_filters import judge

KEPT = "kept"
POOL = 5_000  # kept lines, drawn at random, that are ranked by risk
MOST = 400  # lines per stratum that can be asked about
RISK = {"near": 0.15, "between": 0.4, "far": 1.0}  # strata by rank of risk, each up to this share of the lines
LEAST_SHARE = 0.02  # share of the rows: relations with fewer are combined into one stratum
NOT_ABOUT_THE_LINE = frozenset(
    "no_text document_long contaminated document_duplicate near_duplicate exact_duplicate normalised_duplicate "
    "above_max_bytes judged_wrong".split()
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrameStratum(_Part):
    """A stratum of a group (`kept`, or the reason for which its lines were dropped), with its number of lines.

    `right` is set if speakers had judged all its lines before the dataset was built, and is the number judged right.
    """

    group: str
    name: str
    size: NonNegativeInt
    right: NonNegativeInt | None = None


class CandidateLine(_Part):
    """A line that can be asked about, with the number of its stratum."""

    line: Line
    text: str
    stratum: NonNegativeInt


class Frame(_Part):
    """The frame of one version of a dataset; `templates` is the language of ConceptNet's sentences."""

    format: Literal["lrl-frame-1"] = "lrl-frame-1"
    language: str
    source: str
    version: str
    recipe: str
    templates: str | None = None
    strata: Annotated[list[FrameStratum], Field(min_length=1)]
    lines: list[CandidateLine]

    @property
    def kind(self) -> Literal["lines", "sentences", "facts"]:
        """Return what is judged: lines, sentences in the language, or sentences in another one with words in it."""
        if self.source != "conceptnet":
            return "lines"
        return "sentences" if self.templates in (None, self.language) else "facts"


@dataclass(frozen=True)
class _Stratum:
    about: FrameStratum
    texts: Sequence[str]


def frame_of(folder: Path) -> Frame:
    """Return the frame of a dataset's current version; the first call writes it to `verdicts/` in the folder.

    Raises StorageError like `open_shards`, and DamagedError for a frame that was changed.
    """
    opened = open_shards(folder, SAMPLES)
    if opened.manifest["settings"].get("unit") == "documents":
        raise UsageError(
            f"{folder}: its rows are whole documents, and speakers judge single lines.",
            "Build it with --unit lines into another --out, and review that.",
        )
    name = _name(opened.manifest)
    if path := find_file(folder, name):
        return read_frame(path)
    frame = make_frame(opened, folder)
    with prevent_exchange([folder]):
        inside(folder, VERDICTS).mkdir(exist_ok=True)
        content = frame.model_dump(exclude_none=True)
        write_json(
            inside(folder, name), content | {SEAL: fingerprint(content)}
        )  # texts stay unchanged, including URLs in them
    return frame


def _name(manifest: Mapping[str, Any]) -> str:
    return f"{VERDICTS}/frame-{manifest['version']}-{manifest['recipe'][:8]}.json"


def read_frame(path: Path) -> Frame:
    """Read a frame. Raises DamagedError."""
    try:
        value = json.loads(path.read_bytes())
        if value.pop(SEAL, None) != fingerprint(value):
            raise DamagedError(
                f"{path}: was changed after it was written.", "Remove it; `lrldata review` makes it again."
            )
        frame = Frame.model_validate(value)
        if any(offered.stratum >= len(frame.strata) for offered in frame.lines):
            raise ValueError("a line is in an unknown stratum")  # noqa: TRY301 -- reported like the others
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamagedError(
            f"{path}: not a valid frame ({one_line(error, 200)}).",
            "Remove it; `lrldata review` makes it again.",
        ) from error
    return frame


def make_frame(opened: OpenDataset, folder: Path) -> Frame:
    """Draw the frame of an open dataset."""
    manifest = opened.manifest
    judged = _judged_before(folder, str(manifest["version"]))
    strata = [*_kept(opened, judged), *_dropped(opened, folder, judged)]
    lines: dict[str, CandidateLine] = {}
    for number, stratum in enumerate(strata):
        for text in stratum.texts:
            offered = CandidateLine(line=line_id(text), text=text, stratum=number)
            lines.setdefault(offered.line, offered)
    return Frame(
        language=manifest["language"]["code"],
        source=manifest["source"],
        version=manifest["version"],
        recipe=manifest["recipe"],
        templates=manifest.get("templates", {}).get("language"),
        strata=[stratum.about for stratum in strata],
        lines=sorted(lines.values(), key=lambda offered: (offered.stratum, offered.line)),
    )


def _judged_before(folder: Path, version: str) -> dict[str, str]:
    """Return the outcomes of verdicts that were not given for this version of a dataset.

    Lines that its build was told about were chosen by verdicts on other data, whatever version these verdicts name.
    """
    applied, verdicts = judged_lines(folder), read_all(folder / VERDICTS)
    current = {verdict.line for verdict in verdicts if verdict.version == version and verdict.line not in applied}
    known = applied | outcomes(verdicts)
    return {line: outcome for line, outcome in known.items() if line not in current}


def _kept(opened: OpenDataset, judged: Mapping[str, str]) -> Iterator[_Stratum]:
    """Yield the strata of the dataset's rows. Rows with earlier verdicts form one or two strata of their own."""
    is_graph = "relation" in opened.manifest["columns"]
    rows = sum(opened.manifest["rows"].values())
    frames = _frames(opened, "text") if judged else ()
    outcomes = Counter(judged.get(line_id(text)) for frame in frames for text in frame["text"])
    undecided, decided = outcomes[UNDECIDED], outcomes["right"] + outcomes["wrong"]
    if decided:
        yield _Stratum(FrameStratum(group=KEPT, name="judged before", size=decided, right=outcomes["right"]), ())
    if undecided:
        yield _Stratum(FrameStratum(group=KEPT, name="undecided before", size=undecided), ())
    if is_graph:
        yield from _by_relation(opened, judged)
        return
    pool = _pool(opened, judged)
    ranked = _by_risk(pool, opened.manifest)
    begin = 0
    for name, end in RISK.items():
        texts = ranked[begin : ceil(end * len(ranked))]
        begin += len(texts)
        if texts:
            size = round(len(texts) / len(ranked) * (rows - decided - undecided))
            yield _Stratum(FrameStratum(group=KEPT, name=name, size=max(size, len(texts))), _first(texts))


def _frames(opened: OpenDataset, *columns: str) -> Iterator[pl.DataFrame]:
    """Yield the rows, one shard at a time."""
    for shards in opened.shards.values():
        for shard in shards:
            shard.seek(0)
            yield pl.read_parquet(shard, columns=list(columns))
            shard.seek(0)


def _first(texts: Sequence[str]) -> list[str]:
    return sorted(texts, key=line_id)[:MOST]


def _pool(opened: OpenDataset, judged: Mapping[str, str]) -> list[str]:
    """Return the rows with the lowest hashes, each text once."""
    lowest: dict[str, str] = {}
    for frame in _frames(opened, "text"):
        lowest |= {line_id(text): text for text in frame["text"]}
        lowest = dict(sorted(item for item in lowest.items() if item[0] not in judged)[:POOL])
    return list(lowest.values())


def _by_relation(opened: OpenDataset, judged: Mapping[str, str]) -> Iterator[_Stratum]:
    rows = pl.concat(list(_frames(opened, "text", "relation")))
    rows = rows.filter(~pl.Series([line_id(text) in judged for text in rows["text"]], dtype=pl.Boolean))
    frequent = rows["relation"].value_counts().filter(pl.col("count") >= LEAST_SHARE * len(rows))["relation"]
    rows_by_name = rows.with_columns(
        name=pl.when(pl.col("relation").is_in(frequent.implode())).then("relation").otherwise(pl.lit("rare"))
    )
    for (name,), group in sorted(rows_by_name.group_by("name"), key=lambda item: str(item[0][0])):
        yield _Stratum(FrameStratum(group=KEPT, name=str(name), size=len(group)), _first(group["text"].to_list()))


def _by_risk(texts: Sequence[str], manifest: Mapping[str, Any]) -> list[str]:
    """Order texts by their riskiest rank: an uncertain language, few letters, or a small share of letters."""
    if not texts:
        return []
    code = manifest["language"]["code"]
    series = pl.Series("text", texts)
    measured = judge(series, rules(), manifest["language"].get("scripts", []))
    model = load_model("compact")
    measures = [pl.col("letters"), pl.col("letter_share"), pl.col("script_share")]
    if code in set(model.languages.values()):
        predictions = model.predict_two(series.str.head(rules()["identified"]).to_list())
        probability = (
            pl.when(pl.col("first") == code)
            .then("first_probability")
            .when(pl.col("second") == code)
            .then("second_probability")
        )
        measured = measured.with_columns(predictions.select(probability.fill_null(0.0).alias("own")))
        measures.append(pl.col("own"))
    ranks = [
        measure.rank("max") for measure in measures
    ]  # the lowest rank is the riskiest; common values have high ranks
    ordered = measured.select(risk=pl.min_horizontal(ranks), text=series, line=pl.Series(map(line_id, texts)))
    return ordered.sort("risk", "line")["text"].to_list()


def _dropped(opened: OpenDataset, folder: Path, judged: Mapping[str, str]) -> Iterator[_Stratum]:
    """Yield a stratum for each reason that has samples."""
    samples = read_samples(opened, folder)
    if samples is None:
        return
    ledger = from_json(opened.manifest["ledger"])
    for reason, reason_samples in samples.dropped.items():
        texts = [sample.text for sample in reason_samples if line_id(sample.text) not in judged]
        if reason in ledger.dropped and texts and reason not in NOT_ABOUT_THE_LINE:
            size = max(ledger.dropped[reason].rows, len(texts))
            yield _Stratum(FrameStratum(group=reason, name="", size=size), _first(texts))


def newest_frame(folder: Path) -> Frame | None:
    """Return the frame of the current version, else that of the newest earlier version, or None if there is none."""
    manifest = load_manifest(folder, DATASET)
    if path := find_file(folder, _name(manifest)):
        return read_frame(path)
    paths = sorted(inside(folder, VERDICTS).glob("frame-*.json"), key=_version_in)
    return read_frame(paths[-1]) if paths else None


def _version_in(path: Path) -> tuple[tuple[int, ...], str]:
    version = path.name.split("-")[1].split(".")
    return tuple(int(part) for part in version if part.isdigit()), path.name
