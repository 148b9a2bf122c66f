"""The decisions of speakers on lines, for builds that apply them. IO: reads verdict files, and copies them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrldata.errors import UsageError
from lrldata.manifest import fingerprint
from lrldata.review.verdicts import Verdict, append, consensus, read_verdicts_at


@dataclass(frozen=True)
class Decisions:
    """The lines, identified by their content, that more reviewers call right than wrong, and vice versa."""

    right: frozenset[str]
    wrong: frozenset[str]

    def as_json(self) -> Mapping[str, Any]:
        """Return what a recipe records: the same decisions have the same hash, however the files are split."""
        decided = {"right": sorted(self.right), "wrong": sorted(self.wrong)}
        return {"right": len(self.right), "wrong": len(self.wrong), "sha256": fingerprint(decided)}


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


def copy_applied(place: Path | None, folder: Path, language: str, source: str) -> None:
    """Copy the verdicts that a build applied to the dataset's folder, if they come from elsewhere.

    The next review must know them: a line that is there because it was judged right is no random sample.
    """
    if place is not None:
        append(folder, _verdicts_on(place, language, source))


def _verdicts_on(place: Path, language: str, source: str) -> list[Verdict]:
    return [verdict for verdict in read_verdicts_at(place) if (verdict.language, verdict.source) == (language, source)]
