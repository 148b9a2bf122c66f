"""The sampling frame: lines of a dataset that speakers may be asked about, in strata of known size. IO.

Kept lines of web text are in three strata by their risk: how sure the identification of their language is, and how near
they are to the thresholds for letters. Sentences of ConceptNet are in strata by relation. Dropped lines are those of
samples.json, a stratum a reason; reasons that are not about the line itself, as duplicates, are left out. Within each
stratum lines come in the order of their hash: at random, but the same each time.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from lrldata.dataset import SAMPLES, VERDICTS, Opened, open_shards
from lrldata.errors import one_line
from lrldata.folder import kept_in_place
from lrldata.langid import load_model
from lrldata.ledger import from_json
from lrldata.manifest import DATASET, SEAL, DamagedError, fingerprint, load_manifest, write_json
from lrldata.paths import find as find_file
from lrldata.paths import inside
from lrldata.report.read import read_samples
from lrldata.review.verdicts import Line, consensus, line_id, read_all
from lrldata.web.clean import rules
from lrldata.web.line_filters import judge

KEPT = "kept"
POOL = 5_000  # kept lines, drawn at random, among which risk is compared
MOST = 400  # kept lines that can be asked about, of a stratum
RISK = {"near": 0.15, "between": 0.4, "far": 1.0}  # strata by rank of risk: each up to that share of the lines
LEAST_SHARE = 0.02  # of the rows: relations with fewer are one stratum
NOT_ABOUT_THE_LINE = frozenset(
    "no_text document_long contaminated document_duplicate near_duplicate exact_duplicate normalised_duplicate "
    "above_max_bytes judged_wrong".split()
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FrameStratum(_Part):
    """So many lines of a group (`kept`, or the reason for which they were dropped).

    `right` is set where speakers had judged them all before the dataset was built, and says of how many that they are.
    """

    group: str
    name: str
    size: NonNegativeInt
    right: NonNegativeInt | None = None


class Offered(_Part):
    """A line that can be asked about, and the number of its stratum."""

    line: Line
    text: str
    stratum: NonNegativeInt


class Frame(_Part):
    """The frame of one version of a dataset."""

    format: Literal["lrl-frame-1"] = "lrl-frame-1"
    language: str
    source: str
    version: str
    recipe: str
    strata: Annotated[list[FrameStratum], Field(min_length=1)]
    lines: list[Offered]


@dataclass(frozen=True)
class _Stratum:
    about: FrameStratum
    texts: Sequence[str]


def frame_of(folder: Path) -> Frame:
    """Return the frame of a dataset folder as it is; the first call writes it to the folder's `verdicts/`.

    Raises StorageError as `open_shards`, DamagedError for a frame that was changed.
    """
    opened = open_shards(folder, SAMPLES)
    name = _name(opened.manifest)
    if found := find_file(folder, name):
        return read_frame(found)
    made = make_frame(opened, folder)
    with kept_in_place([folder]):
        inside(folder, VERDICTS).mkdir(exist_ok=True)
        content = made.model_dump(exclude_none=True)
        write_json(inside(folder, name), content | {SEAL: fingerprint(content)})  # texts as they are, addresses too
    return made


def _name(manifest: Mapping[str, Any]) -> str:
    return f"{VERDICTS}/frame-{manifest['version']}-{manifest['recipe'][:8]}.json"


def read_frame(path: Path) -> Frame:
    """Read a frame. Raises DamagedError."""
    try:
        value = json.loads(path.read_bytes())
        if value.pop(SEAL, None) != fingerprint(value):
            raise DamagedError(f"{path}: was changed after it was written.", "Remove it, and it is made again.")
        frame = Frame.model_validate(value)
        if any(each.stratum >= len(frame.strata) for each in frame.lines):
            raise ValueError("a line of a stratum that is not there")  # noqa: TRY301 -- told as the others
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamagedError(
            f"{path}: not as `lrldata review` writes it ({one_line(error, 200)}).",
            "Remove it, and it is made again.",
        ) from error
    return frame


def make_frame(opened: Opened, folder: Path) -> Frame:
    """Draw the frame of an opened dataset."""
    manifest = opened.manifest
    known = consensus(read_all(folder / VERDICTS)) if manifest.get("verdicts") else {}
    strata = [*_kept(opened, known), *_dropped(opened, folder, known)]
    lines: dict[str, Offered] = {}
    for number, stratum in enumerate(strata):
        for text in stratum.texts:
            offered = Offered(line=line_id(text), text=text, stratum=number)
            lines.setdefault(offered.line, offered)
    return Frame(
        language=manifest["language"]["code"],
        source=manifest["source"],
        version=manifest["version"],
        recipe=manifest["recipe"],
        strata=[stratum.about for stratum in strata],
        lines=sorted(lines.values(), key=lambda each: (each.stratum, each.line)),
    )


def _kept(opened: Opened, known: Mapping[str, str]) -> Iterator[_Stratum]:
    """Yield the strata of the rows that the dataset has; those that speakers judged before are one of their own."""
    is_graph = "relation" in opened.manifest["columns"]
    rows = sum(opened.manifest["rows"].values())
    before = [text for frame in _frames(opened, "text") for text in frame["text"] if known and line_id(text) in known]
    if before:
        right = sum(known[line_id(text)] == "right" for text in before)
        yield _Stratum(FrameStratum(group=KEPT, name="judged before", size=len(before), right=right), ())
    if is_graph:
        yield from _by_relation(opened, known)
        return
    pool = _pool(opened, known)
    ranked = _by_risk(pool, opened.manifest)
    begin = 0
    for name, end in RISK.items():
        some = ranked[begin : ceil(end * len(ranked))]
        begin += len(some)
        if some:
            size = round(len(some) / len(ranked) * (rows - len(before)))
            yield _Stratum(FrameStratum(group=KEPT, name=name, size=max(size, len(some))), _first(some))


def _frames(opened: Opened, *columns: str) -> Iterator[pl.DataFrame]:
    """Yield the rows, a shard at a time."""
    for shards in opened.shards.values():
        for shard in shards:
            shard.seek(0)
            yield pl.read_parquet(shard, columns=list(columns))
            shard.seek(0)


def _first(texts: Sequence[str]) -> list[str]:
    return sorted(texts, key=line_id)[:MOST]


def _pool(opened: Opened, known: Mapping[str, str]) -> list[str]:
    """Return the rows with the lowest hashes, each text once."""
    lowest: dict[str, str] = {}
    for frame in _frames(opened, "text"):
        lowest |= {line_id(text): text for text in frame["text"]}
        lowest = dict(sorted(each for each in lowest.items() if each[0] not in known)[:POOL])
    return list(lowest.values())


def _by_relation(opened: Opened, known: Mapping[str, str]) -> Iterator[_Stratum]:
    rows = pl.concat(list(_frames(opened, "text", "relation")))
    rows = rows.filter(~pl.Series([line_id(text) in known for text in rows["text"]], dtype=pl.Boolean))
    many = rows["relation"].value_counts().filter(pl.col("count") >= LEAST_SHARE * len(rows))["relation"]
    named = rows.with_columns(
        name=pl.when(pl.col("relation").is_in(many.implode())).then("relation").otherwise(pl.lit("rare"))
    )
    for (name,), some in sorted(named.group_by("name"), key=lambda each: str(each[0][0])):
        yield _Stratum(FrameStratum(group=KEPT, name=str(name), size=len(some)), _first(some["text"].to_list()))


def _by_risk(texts: Sequence[str], manifest: Mapping[str, Any]) -> list[str]:
    """Order texts by the highest of their ranks: unlike the language, few letters, small share of letters."""
    if not texts:
        return []
    code = manifest["language"]["code"]
    series = pl.Series("text", texts)
    measured = judge(series, rules(), manifest["language"].get("scripts", []))
    model = load_model("compact")
    doubts = [pl.col("letters"), pl.col("letter_share"), pl.col("script_share")]
    if code in set(model.languages.values()):
        found = model.predict_two(series.str.head(rules()["identified"]).to_list())
        own = (
            pl.when(pl.col("first") == code)
            .then("first_probability")
            .when(pl.col("second") == code)
            .then("second_probability")
        )
        measured = measured.with_columns(found.select(own.fill_null(0.0).alias("own")))
        doubts.append(pl.col("own"))
    ranks = [each.rank("max") for each in doubts]  # the lowest is the riskiest; what is as usual has a high rank
    ordered = measured.select(risk=pl.min_horizontal(ranks), text=series, line=pl.Series(map(line_id, texts)))
    return ordered.sort("risk", "line")["text"].to_list()


def _dropped(opened: Opened, folder: Path, known: Mapping[str, str]) -> Iterator[_Stratum]:
    """Yield a stratum for each reason of which there are samples."""
    samples = read_samples(opened, folder)
    if samples is None:
        return
    ledger = from_json(opened.manifest["ledger"])
    for reason, some in samples.dropped.items():
        texts = [each.text for each in some if line_id(each.text) not in known]
        if reason in ledger.dropped and texts and reason not in NOT_ABOUT_THE_LINE:
            size = max(ledger.dropped[reason].rows, len(texts))
            yield _Stratum(FrameStratum(group=reason, name="", size=size), _first(texts))


def newest_frame(folder: Path) -> Frame | None:
    """Return the frame of the dataset as it is, else the newest of an earlier version; None where there is none."""
    manifest = load_manifest(folder, DATASET)
    if found := find_file(folder, _name(manifest)):
        return read_frame(found)
    paths = sorted(inside(folder, VERDICTS).glob("frame-*.json"), key=_version_in)
    return read_frame(paths[-1]) if paths else None


def _version_in(path: Path) -> tuple[tuple[int, ...], str]:
    version = path.name.split("-")[1].split(".")
    return tuple(int(part) for part in version if part.isdigit()), path.name
