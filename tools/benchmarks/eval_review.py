"""Simulate reviewers who err, and print how often the intervals hold the truth and how many verdicts they need.

    python tools/benchmarks/eval_review.py [--simulations 2000] [--seed 1]

A corpus has kept lines in three strata, of which the riskiest has most bad lines, and dropped lines for reasons of
which some are rare; all shares are drawn again each time. Two to five reviewers each say the opposite of the truth in 5
to 20 % of cases. They are asked by `lrldata.review.sampling`, as on the page, or lines at random.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from lrldata.review.sampling import OpenStratum, Queue
from lrldata.review.statistics import Stratum, estimate, wilson

VERDICTS = 400  # of a simulation
CHECKED = range(100, 1001, 50)  # numbers of verdicts at which widths are compared
KEPT = {"near": (0.15, (0.5, 0.9)), "between": (0.25, (0.9, 0.99)), "far": (0.6, (0.985, 1.0))}  # share, good lines
REASONS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)  # share of all lines
GOOD_DROPPED = (0.0, 0.4)  # share of lines that it was wrong to drop
LINES, OFFERED = 20_000, {"kept": 400, "dropped": 20}


@dataclass(frozen=True)
class World:
    """Lines by their names: the stratum of each, and whether it is good."""

    strata: Mapping[tuple[str, str], tuple[str, ...]]
    good: Mapping[str, bool]


def draw_world(chance: random.Random) -> World:
    """Draw a corpus of which some lines are good."""
    strata: dict[tuple[str, str], tuple[str, ...]] = {}
    good: dict[str, bool] = {}
    kept = int(LINES * (1 - sum(REASONS)))
    plan = {("kept", name): (int(kept * share), bounds) for name, (share, bounds) in KEPT.items()}
    plan |= {(f"reason {each}", ""): (int(LINES * each), GOOD_DROPPED) for each in REASONS}
    for (group, name), (size, bounds) in plan.items():
        share = chance.uniform(*bounds)
        lines = tuple(f"{group} {name} {number}" for number in range(size))
        strata[group, name] = lines
        good |= {line: chance.random() < share for line in lines}
    return World(strata, good)


def truth(world: World, group: str) -> float:
    """Return the share of a group's lines that are good."""
    lines = [line for (name, _), some in world.strata.items() if name == group for line in some]
    return sum(world.good[line] for line in lines) / len(lines)


Step = Callable[[str], str | None]


def by_information(world: World, votes: dict[str, dict[str, bool]]) -> tuple[Queue, Step]:
    """Ask as the page does."""
    del votes
    queue = Queue(
        OpenStratum(group, len(lines), lines[: OFFERED["kept" if group == "kept" else "dropped"]])
        for (group, _), lines in world.strata.items()
    )
    return queue, queue.next


def at_random(world: World, votes: dict[str, dict[str, bool]], chance: random.Random) -> tuple[Queue, Step]:
    """Ask any line of the corpus; each second line is for two reviewers, so that errors can be told here too."""
    lines = [line for some in world.strata.values() for line in some]
    chance.shuffle(lines)
    fresh = iter(lines)
    waiting: list[str] = []
    asked = [0]

    def step(reviewer: str) -> str | None:
        for line in waiting:
            if reviewer not in votes[line]:
                waiting.remove(line)
                return line
        line = next(fresh)
        asked[0] += 1
        if asked[0] % 2 == 0:
            waiting.append(line)
        return line

    return Queue([]), step


def collect(
    world: World, chance: random.Random, queue: Queue, step: Step, votes: dict[str, dict[str, bool]]
) -> Iterable[int]:
    """Ask reviewers in turn, and yield how many verdicts there are."""
    errors = {f"reviewer {number}": chance.uniform(0.05, 0.2) for number in range(chance.randint(2, 5))}
    count = 0
    while True:
        for reviewer, error in errors.items():
            line = step(reviewer)
            if line is None:
                return
            vote = world.good[line] != (chance.random() < error)
            votes.setdefault(line, {})[reviewer] = vote
            queue.put(line, reviewer, vote)
            count += 1
            yield count


def strata_of(world: World, votes: Mapping[str, Mapping[str, bool]], *, whole: bool) -> dict[str, list[Stratum]]:
    """Return the groups as they are estimated; `whole` puts the strata of a group together, as for random lines."""
    groups: dict[str, list[Stratum]] = {}
    for (group, _), lines in world.strata.items():
        groups.setdefault(group, []).append(Stratum(len(lines), [votes[line] for line in lines if line in votes]))
    if not whole:
        return groups
    return {
        name: [Stratum(sum(each.size for each in strata), [vote for each in strata for vote in each.votes])]
        for name, strata in groups.items()
    }


def cover(seed: int) -> tuple[tuple[str, bool, bool], ...]:
    """Simulate a review; returns for each group whether its interval, and that of bare counts, has the truth in it."""
    chance = random.Random(seed)
    world = draw_world(chance)
    votes: dict[str, dict[str, bool]] = {}
    queue, step = by_information(world, votes)
    for count in collect(world, chance, queue, step, votes):
        if count == VERDICTS:
            break
    found = estimate(strata_of(world, votes, whole=False)).shares
    told = []
    for group, share in found.items():
        true = truth(world, group)
        bare = wilson(share.right, share.judged)
        told.append((group, share.low <= true <= share.high, bare[0] <= true <= bare[1]))
    return tuple(told)


def widths(seed: int) -> dict[str, list[tuple[float, float]]]:
    """Simulate a review of each kind; returns the widths at each number: of the kept, and the mean of all groups."""
    found: dict[str, list[tuple[float, float]]] = {}
    for kind in ("information", "random"):
        chance = random.Random(seed)
        world = draw_world(chance)
        votes: dict[str, dict[str, bool]] = {}
        queue, step = by_information(world, votes) if kind == "information" else at_random(world, votes, chance)
        found[kind] = []
        for count in collect(world, chance, queue, step, votes):
            if count in CHECKED:
                groups = strata_of(world, votes, whole=kind == "random")
                shares = estimate(groups).shares
                wide = {name: shares[name].high - shares[name].low if name in shares else 1.0 for name in groups}
                found[kind].append((wide["kept"], sum(wide.values()) / len(wide)))
            if count >= CHECKED[-1]:
                break
    return found


def needed(curve: list[float], width: float) -> float:
    """Return the number of verdicts at which a curve of widths comes down to a width, between the numbers checked."""
    before = (0.0, 1.0)
    for count, value in zip(CHECKED, curve, strict=True):
        if value <= width:
            return before[0] + (count - before[0]) * (before[1] - width) / (before[1] - value)
        before = (count, value)
    return float("inf")


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--comparisons", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(given.workers) as pool:
        first = given.seed * 1_000_000
        told = [
            each for some in pool.map(cover, range(first, first + given.simulations), chunksize=20) for each in some
        ]
        print(f"Coverage of intervals of 95 %, {given.simulations:,} simulations of {VERDICTS} verdicts:\n")
        print("| group | intervals | hold the truth | bare Wilson of the counts |")
        print("| --- | ---: | ---: | ---: |")
        for title, chosen in (
            ("kept lines", [each for each in told if each[0] == "kept"]),
            ("each reason", [each for each in told if each[0] != "kept"]),
            ("all", told),
        ):
            holds, bare = (sum(each[place] for each in chosen) / len(chosen) for place in (1, 2))
            print(f"| {title} | {len(chosen):,} | {holds:.1%} | {bare:.1%} |")
        compared = list(pool.map(widths, range(first, first + given.comparisons)))
    print(f"\nVerdicts for the same width, means of {given.comparisons} simulations:\n")
    print("| width of | at random | width | by information | share |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for place, title in enumerate(("kept lines", "all groups, mean")):
        curves = {
            kind: [sum(each[kind][at][place] for each in compared) / len(compared) for at in range(len(CHECKED))]
            for kind in ("information", "random")
        }
        for count in (300, 500, 1000):
            width = curves["random"][CHECKED.index(count)]
            less = needed(curves["information"], width)
            print(f"| {title} | {count} | {width:.3f} | {less:.0f} | {less / count:.2f} |")
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
