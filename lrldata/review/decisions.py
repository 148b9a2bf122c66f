"""What speakers decided of lines, for a build that honours it. IO: reads verdict files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrldata.errors import UsageError
from lrldata.manifest import fingerprint
from lrldata.review.verdicts import consensus, read_given


@dataclass(frozen=True)
class Decisions:
    """The lines, by their content, that more reviewers call right than wrong, and the other way round."""

    right: frozenset[str]
    wrong: frozenset[str]

    def as_json(self) -> Mapping[str, Any]:
        """Return what a recipe says of them: the same decisions have the same hash, however files are split."""
        decided = {"right": sorted(self.right), "wrong": sorted(self.wrong)}
        return {"right": len(self.right), "wrong": len(self.wrong), "sha256": fingerprint(decided)}


def read_decisions(place: Path | None, language: str, source: str) -> Decisions | None:
    """Return the decisions on a dataset in a verdict file or a folder of them; None where none is named.

    Raises UsageError where it has none on this dataset.
    """
    if place is None:
        return None
    mine = [each for each in read_given(place) if (each.language, each.source) == (language, source)]
    if not mine:
        raise UsageError(
            f"--verdicts {place}: has no verdict on {language} from {source}.", "Name the file of this dataset."
        )
    decided = consensus(mine)
    return Decisions(
        frozenset(line for line, said in decided.items() if said == "right"),
        frozenset(line for line, said in decided.items() if said == "wrong"),
    )
