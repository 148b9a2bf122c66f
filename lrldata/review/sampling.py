"""Choose the line to ask about next: the one whose verdict narrows the intervals most. Pure.

Lines are in strata (see frame.py), in an order that is random but always the same. The verdicts so far show in which
stratum another verdict says most: after Neyman (1934), in one with many lines that are neither all good nor all bad.
Within a stratum, the choice of a line does not depend on what it says, so the strata remain random samples.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import sqrt

KEPT, SHARE_KEPT = "kept", 0.5  # share of the questions: as many kept as dropped lines, in an unpredictable order
SHARED = 2  # every second line of a stratum is for two reviewers: only their agreement shows how often they err
PRIOR = 0.5  # verdicts of each kind that a stratum starts with (Jeffreys)
Votes = dict[str, bool | None]  # by reviewer: whether the line is right, or None if unsure


class OpenStratum:
    """A stratum under review: its group, its number of lines, and the lines that can be asked about, in order."""

    def __init__(self, group: str, size: int, lines: Sequence[str]) -> None:
        self.group, self.size, self.lines = group, size, lines
        self.votes: dict[str, Votes] = {}
        self._place = {line: place for place, line in enumerate(lines)}
        self._shares: dict[str, float] = {}

    @property
    def judged(self) -> int:
        """Return the number of lines that somebody has called right or wrong."""
        return len(self._shares)

    @property
    def spread(self) -> float:
        """Return the variance of whether a line is good, as estimated from the verdicts so far."""
        share = (sum(self._shares.values()) + PRIOR) / (len(self._shares) + 2 * PRIOR)
        return share * (1 - share)

    def put(self, line: str, votes: Votes) -> None:
        """Record the votes on a line; they are empty if all were taken back."""
        self.votes[line] = votes
        tally = Counter(votes.values())
        decided = tally[True] + tally[False]
        self._shares.pop(line, None)
        if decided:
            self._shares[line] = tally[True] / decided

    def candidates(self, reviewer: str) -> Iterator[str]:
        """Yield the lines that a reviewer has not judged.

        Lines on which others disagree come first, then lines for two reviewers, then new ones in their order, then the
        rest.
        """
        judged_by_others = [(line, votes) for line, votes in self.votes.items() if votes and reviewer not in votes]
        yield from (line for line, votes in judged_by_others if _is_disputed(votes))
        yield from (line for line, votes in judged_by_others if len(votes) == 1 and self._place[line] % SHARED == 0)
        yield from (line for line in self.lines if not self.votes.get(line))
        yield from (line for line, _ in judged_by_others)


def _is_disputed(votes: Votes) -> bool:
    tally = Counter(votes.values())
    return tally[True] == tally[False] > 0


class Queue:
    """The strata of a dataset under review."""

    def __init__(self, strata: Iterable[OpenStratum]) -> None:
        self.strata = list(strata)
        self._whole: Counter[str] = Counter()
        self._home: dict[str, OpenStratum] = {}
        for stratum in self.strata:
            self._whole[stratum.group] += stratum.size
            self._home |= dict.fromkeys(stratum.lines, stratum)

    def put(self, line: str, reviewer: str, vote: bool | None) -> None:
        """Record a vote (None: unsure). A vote on a line that is in no stratum changes nothing."""
        if stratum := self._home.get(line):
            stratum.put(line, stratum.votes.get(line, {}) | {reviewer: vote})

    def take_back(self, line: str, reviewer: str) -> None:
        """Record that a vote was taken back."""
        if stratum := self._home.get(line):
            votes = {name: vote for name, vote in stratum.votes.get(line, {}).items() if name != reviewer}
            stratum.put(line, votes)

    def next(self, reviewer: str, excluded: Collection[str] = ()) -> str | None:
        """Return the next line for a reviewer, or None if none is left. Lines in `excluded` are skipped."""
        gains = self._gains()
        count = sum(len(votes) for stratum in self.strata for votes in stratum.votes.values())
        kept = random.Random(count).random() < SHARE_KEPT  # noqa: S311 -- not a secret, and always the same
        preferred = [(stratum.group == KEPT) == kept for stratum in self.strata]
        for place in sorted(range(len(gains)), key=lambda place: (not preferred[place], -gains[place])):
            for line in self.strata[place].candidates(reviewer):
                if line not in excluded:
                    return line
        return None

    def _gains(self) -> list[float]:
        """Return by how much one more judged line in each stratum narrows the interval of its group."""
        parts = [(stratum.size / max(self._whole[stratum.group], 1)) ** 2 * stratum.spread for stratum in self.strata]
        variance: Counter[str] = Counter()
        for stratum, part in zip(self.strata, parts, strict=True):
            variance[stratum.group] += part / (stratum.judged + 1)  # type: ignore[assignment]
        gains = []
        for stratum, part in zip(self.strata, parts, strict=True):
            reduction = part / (stratum.judged + 1) - part / (stratum.judged + 2)
            total = variance[stratum.group]
            gains.append(sqrt(total) - sqrt(max(total - reduction, 0.0)))
        return gains
