"""The decisions of speakers on lines, for builds that apply them. IO: reads verdict files; records their outcome."""

import errno
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lrldata.dataset import VERDICTS
from lrldata.errors import UsageError
from lrldata.folder import prevent_exchange
from lrldata.manifest import DATASET, DamagedError, fingerprint, load_manifest, read_beside, sealed, write_json
from lrldata.output import note
from lrldata.paths import inside
from lrldata.review.verdicts import Verdict, consensus, line_id, outcomes, read_verdicts_at

JUDGED = f"{VERDICTS}/judged.json"
JUDGED_WRONG = "judged_wrong"  # the reason for rows


@dataclass(frozen=True)
class Decisions:
    """The lines, identified by their content, that more reviewers call right than wrong, and vice versa."""

    right: frozenset[str]
    wrong: frozenset[str]

    def as_json(self) -> Mapping[str, Any]:
        """Return what a recipe records: the same decisions have the same hash, however the files are split."""
        decided = {"right": sorted(self.right), "wrong": sorted(self.wrong)}
        return {"right": len(self.right), "wrong": len(self.wrong), "sha256": fingerprint(decided)}


def mark_wrong(rows: pl.DataFrame, decisions: Decisions | None) -> pl.DataFrame:
    """Give the rows that speakers judged wrong the reason `judged_wrong`, unless they have another one. Pure."""
    if decisions is None or not decisions.wrong:
        return rows
    is_wrong = pl.col("reason").is_null() & lines_among(rows["text"], decisions.wrong)
    return rows.with_columns(reason=pl.when(is_wrong).then(pl.lit(JUDGED_WRONG)).otherwise("reason"))


def lines_among(texts: pl.Series, lines: frozenset[str]) -> pl.Series:
    """Return which texts are among lines, which are identified by their content. Pure."""
    return pl.Series([line_id(text) in lines for text in texts], dtype=pl.Boolean)


def read_decisions(place: Path | None, language: str, source: str) -> Decisions | None:
    """Return the decisions on a dataset in a verdict file or a folder of them, or None if no path is given.

    Raises UsageError if there are none on this dataset.
    """
    if place is None:
        return None
    verdicts = _verdicts_on(place, language, source)
    if not verdicts:
        raise UsageError(
            f"--verdicts {place}: has no verdict on {language} from {source}.", "Use the file of this dataset."
        )
    decided = consensus(verdicts)
    return Decisions(
        frozenset(line for line, decision in decided.items() if decision == "right"),
        frozenset(line for line, decision in decided.items() if decision == "wrong"),
    )


def record_judged(place: Path | None, folder: Path, language: str, source: str) -> None:
    """Record in a dataset's folder which lines were judged in the verdicts that a build applied, and how.

    The next review must know them: a line that is there because it was judged right is no random sample. Who judged
    them is not recorded, because a remote workspace may be public.
    """
    if place is None:
        return
    current = _offered(folder)
    verdicts = _verdicts_on(place, language, source)
    judged = outcomes(verdict for verdict in verdicts if verdict.line not in current.get(verdict.version, ()))
    with suppress(DamagedError):
        if judged_lines(folder) == judged:
            return
    try:
        with prevent_exchange([folder]):
            inside(folder, VERDICTS).mkdir(exist_ok=True)
            write_json(inside(folder, JUDGED), sealed({"lines": judged}))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        note(f"{folder}: cannot be written, so a review may ask for lines that were judged before.")


def _offered(folder: Path) -> dict[str, set[str]]:
    """Return the lines of the frames of a dataset's version, if there are any already: the build left it unchanged.

    Verdicts on them are a sample of this version, although they were applied.
    """
    version = str(load_manifest(folder, DATASET)["version"])
    paths = inside(folder, VERDICTS).glob(f"frame-{version}-*.json") if (folder / VERDICTS).is_dir() else ()
    lines: set[str] = set()
    for path in paths:
        with suppress(DamagedError):
            frame = read_beside(folder, f"{VERDICTS}/{path.name}") or {}
            lines.update(entry["line"] for entry in frame.get("lines", ()))
    return {version: lines}


def judged_lines(folder: Path) -> dict[str, str]:
    """Return how the lines of a dataset were judged in the verdicts that its build applied. Raises DamagedError."""
    recorded = read_beside(folder, JUDGED) or {}
    return dict(recorded.get("lines", {}))


def _verdicts_on(place: Path, language: str, source: str) -> list[Verdict]:
    return [verdict for verdict in read_verdicts_at(place) if (verdict.language, verdict.source) == (language, source)]
