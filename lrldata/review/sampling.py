"""Which line to ask next: the one whose verdict makes the intervals narrower most. Pure.

Lines lie in strata (see frame.py), in an order that is random but the same each time. In which stratum a verdict tells
most is known from those so far: after Neyman (1934), where there are many lines and they are neither all good nor all
bad. Which line of a stratum is asked does not depend on what it says, so the strata stay random samples.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import sqrt

KEPT, SHARE_KEPT = "kept", 0.5  # of what is asked: as many kept lines as dropped ones, in an order that nobody foresees
SHARED = 2  # each second line of a stratum is for two reviewers, as only their agreement says how often they err
PRIOR = 0.5  # verdicts of each kind that a stratum begins with (Jeffreys)
Votes = dict[str, bool | None]  # by reviewer: whether the line is right; None: unsure


class OpenStratum:
    """A stratum while it is judged: its group, how many lines it has, and those that can be asked, in their order."""

    def __init__(self, group: str, size: int, lines: Sequence[str]) -> None:
        self.group, self.size, self.lines = group, size, lines
        self.votes: dict[str, Votes] = {}
        self._place = {line: place for place, line in enumerate(lines)}
        self._shares: dict[str, float] = {}

    @property
    def judged(self) -> int:
        """Return of how many lines somebody has said whether they are right."""
        return len(self._shares)

    @property
    def spread(self) -> float:
        """Return the variance of a line's being good, as far as it is known."""
        share = (sum(self._shares.values()) + PRIOR) / (len(self._shares) + 2 * PRIOR)
        return share * (1 - share)

    def put(self, line: str, votes: Votes) -> None:
        """Note the votes on a line; empty where all were taken back."""
        self.votes[line] = votes
        tally = Counter(votes.values())
        decided = tally[True] + tally[False]
        self._shares.pop(line, None)
        if decided:
            self._shares[line] = tally[True] / decided

    def candidates(self, reviewer: str) -> Iterator[str]:
        """Yield the lines that a reviewer has not judged.

        First those on which others do not agree, then those that are for two, then new ones, in their order.
        """
        left = [(line, votes) for line, votes in self.votes.items() if votes and reviewer not in votes]
        yield from (line for line, votes in left if _is_disputed(votes))
        yield from (line for line, votes in left if len(votes) == 1 and self._place[line] % SHARED == 0)
        yield from (line for line in self.lines if not self.votes.get(line))
        yield from (line for line, _ in left)


def _is_disputed(votes: Votes) -> bool:
    tally = Counter(votes.values())
    return tally[True] == tally[False] > 0


class Queue:
    """The strata of a dataset while they are judged."""

    def __init__(self, strata: Iterable[OpenStratum]) -> None:
        self.strata = list(strata)
        self._whole: Counter[str] = Counter()
        self._home: dict[str, OpenStratum] = {}
        for stratum in self.strata:
            self._whole[stratum.group] += stratum.size
            self._home |= dict.fromkeys(stratum.lines, stratum)

    def put(self, line: str, reviewer: str, vote: bool | None) -> None:
        """Note a vote (None: unsure); on a line that is not asked it changes nothing."""
        if stratum := self._home.get(line):
            stratum.put(line, stratum.votes.get(line, {}) | {reviewer: vote})

    def take_back(self, line: str, reviewer: str) -> None:
        """Note that a vote was taken back."""
        if stratum := self._home.get(line):
            votes = {name: vote for name, vote in stratum.votes.get(line, {}).items() if name != reviewer}
            stratum.put(line, votes)

    def next(self, reviewer: str, besides: Collection[str] = ()) -> str | None:
        """Return the line to ask a reviewer, None where none is left; `besides` are lines that are not wanted."""
        gains = self._gains()
        count = sum(len(votes) for stratum in self.strata for votes in stratum.votes.values())
        kept = random.Random(count).random() < SHARE_KEPT  # noqa: S311 -- not a secret, and the same each time
        wanted = [(stratum.group == KEPT) == kept for stratum in self.strata]
        for place in sorted(range(len(gains)), key=lambda place: (not wanted[place], -gains[place])):
            for line in self.strata[place].candidates(reviewer):
                if line not in besides:
                    return line
        return None

    def _gains(self) -> list[float]:
        """Return how much narrower its group's interval gets by one more line judged in each stratum."""
        parts = [(each.size / max(self._whole[each.group], 1)) ** 2 * each.spread for each in self.strata]
        variance: Counter[str] = Counter()
        for each, part in zip(self.strata, parts, strict=True):
            variance[each.group] += part / (each.judged + 1)  # type: ignore[assignment]
        gains = []
        for each, part in zip(self.strata, parts, strict=True):
            less = part / (each.judged + 1) - part / (each.judged + 2)
            whole = variance[each.group]
            gains.append(sqrt(whole) - sqrt(max(whole - less, 0.0)))
        return gains
