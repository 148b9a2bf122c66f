"""Simulate reviewers who make errors; print the coverage of the intervals and the number of verdicts needed.

    python tools/benchmarks/eval_review.py [--simulations 2000] [--seed 1]

A corpus has kept lines in three strata, the riskiest with the most bad lines, and dropped lines for several reasons,
some of them rare; all shares are drawn separately for each simulation. Two to five reviewers each give the wrong
verdict in 5 to 20 % of cases. Lines are selected either adaptively by `lrldata.review.sampling`, as on the page, or at
random.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from lrldata.review.sampling import OpenStratum, Queue
from lrldata.review.statistics import Stratum, estimate, wilson

VERDICTS = 400  # per simulation
CHECKED = range(100, 1001, 50)  # numbers of verdicts at which widths are compared
KEPT = {
    "near": (0.15, (0.5, 0.9)),
    "between": (0.25, (0.9, 0.99)),
    "far": (0.6, (0.985, 1.0)),
}  # share of the kept lines, and range of the share of good lines in them
REASONS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)  # share of all lines
GOOD_DROPPED = (0.0, 0.4)  # range of the share of lines that should not have been dropped
LINES, OFFERED = 20_000, {"kept": 400, "dropped": 20}


@dataclass(frozen=True)
class World:
    """The lines of each stratum by name, and whether each line is good."""

    strata: Mapping[tuple[str, str], tuple[str, ...]]
    good: Mapping[str, bool]


def draw_world(generator: random.Random) -> World:
    """Draw a corpus with good and bad lines."""
    strata: dict[tuple[str, str], tuple[str, ...]] = {}
    good: dict[str, bool] = {}
    kept_count = int(LINES * (1 - sum(REASONS)))
    plan = {("kept", name): (int(kept_count * share), bounds) for name, (share, bounds) in KEPT.items()}
    plan |= {(f"reason {reason_share}", ""): (int(LINES * reason_share), GOOD_DROPPED) for reason_share in REASONS}
    for (group, name), (size, bounds) in plan.items():
        share = generator.uniform(*bounds)
        lines = tuple(f"{group} {name} {number}" for number in range(size))
        strata[group, name] = lines
        good |= {line: generator.random() < share for line in lines}
    return World(strata, good)


def truth(world: World, group: str) -> float:
    """Return the share of good lines in a group."""
    lines = [line for (name, _), names in world.strata.items() if name == group for line in names]
    return sum(world.good[line] for line in lines) / len(lines)


Step = Callable[[str], str | None]


def select_adaptively(world: World, votes: dict[str, dict[str, bool]]) -> tuple[Queue, Step]:
    """Select lines like the page, adaptively."""
    del votes
    queue = Queue(
        OpenStratum(group, len(lines), lines[: OFFERED["kept" if group == "kept" else "dropped"]])
        for (group, _), lines in world.strata.items()
    )
    return queue, queue.next


def select_at_random(world: World, votes: dict[str, dict[str, bool]], generator: random.Random) -> tuple[Queue, Step]:
    """Select random lines of the corpus; every second line goes to two reviewers, so that errors can be estimated."""
    lines = [line for stratum in world.strata.values() for line in stratum]
    generator.shuffle(lines)
    unseen = iter(lines)
    waiting: list[str] = []
    drawn_lines = [0]

    def step(reviewer: str) -> str | None:
        for line in waiting:
            if reviewer not in votes[line]:
                waiting.remove(line)
                return line
        line = next(unseen)
        drawn_lines[0] += 1
        if drawn_lines[0] % 2 == 0:
            waiting.append(line)
        return line

    return Queue([]), step


def collect(
    world: World, generator: random.Random, queue: Queue, step: Step, votes: dict[str, dict[str, bool]]
) -> Iterable[int]:
    """Collect verdicts of the reviewers in turn; yield the number of verdicts after each."""
    errors = {f"reviewer {number}": generator.uniform(0.05, 0.2) for number in range(generator.randint(2, 5))}
    count = 0
    while True:
        for reviewer, error in errors.items():
            line = step(reviewer)
            if line is None:
                return
            vote = world.good[line] != (generator.random() < error)
            votes.setdefault(line, {})[reviewer] = vote
            queue.put(line, reviewer, vote)
            count += 1
            yield count


def strata_of(world: World, votes: Mapping[str, Mapping[str, bool]], *, whole: bool) -> dict[str, list[Stratum]]:
    """Return the strata of each group for `estimate`; `whole` merges the strata of a group, as for random lines."""
    groups: dict[str, list[Stratum]] = {}
    for (group, _), lines in world.strata.items():
        groups.setdefault(group, []).append(Stratum(len(lines), [votes[line] for line in lines if line in votes]))
    if not whole:
        return groups
    return {
        name: [Stratum(sum(stratum.size for stratum in strata), [vote for stratum in strata for vote in stratum.votes])]
        for name, strata in groups.items()
    }


def cover(seed: int) -> tuple[tuple[str, bool, bool], ...]:
    """Simulate a review; return for each group whether its interval, and Wilson's, contain the true share."""
    generator = random.Random(seed)
    world = draw_world(generator)
    votes: dict[str, dict[str, bool]] = {}
    queue, step = select_adaptively(world, votes)
    for count in collect(world, generator, queue, step, votes):
        if count == VERDICTS:
            break
    shares = estimate(strata_of(world, votes, whole=False)).shares
    outcomes = []
    for group, share in shares.items():
        true_share = truth(world, group)
        raw_interval = wilson(share.right, share.judged)
        outcomes.append(
            (group, share.low <= true_share <= share.high, raw_interval[0] <= true_share <= raw_interval[1])
        )
    return tuple(outcomes)


def widths(seed: int) -> dict[str, list[tuple[float, float]]]:
    """Simulate a review of each kind; return the interval widths of kept lines, and their mean over all groups.

    There is one pair of widths for each number of verdicts in CHECKED.
    """
    widths_by_kind: dict[str, list[tuple[float, float]]] = {}
    for kind in ("information", "random"):
        generator = random.Random(seed)
        world = draw_world(generator)
        votes: dict[str, dict[str, bool]] = {}
        queue, step = (
            select_adaptively(world, votes) if kind == "information" else select_at_random(world, votes, generator)
        )
        widths_by_kind[kind] = []
        for count in collect(world, generator, queue, step, votes):
            if count in CHECKED:
                groups = strata_of(world, votes, whole=kind == "random")
                shares = estimate(groups).shares
                group_widths = {
                    name: shares[name].high - shares[name].low if name in shares else 1.0 for name in groups
                }
                widths_by_kind[kind].append((group_widths["kept"], sum(group_widths.values()) / len(group_widths)))
            if count >= CHECKED[-1]:
                break
    return widths_by_kind


def needed(curve: list[float], width: float) -> float:
    """Return the interpolated number of verdicts at which a curve of widths falls to the given width."""
    previous = (0.0, 1.0)
    for count, value in zip(CHECKED, curve, strict=True):
        if value <= width:
            return previous[0] + (count - previous[0]) * (previous[1] - width) / (previous[1] - value)
        previous = (count, value)
    return float("inf")


def main() -> None:
    """Print the coverage and the numbers of verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--comparisons", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(args.workers) as pool:
        first_seed = args.seed * 1_000_000
        outcomes = [
            outcome
            for group_outcomes in pool.map(cover, range(first_seed, first_seed + args.simulations), chunksize=20)
            for outcome in group_outcomes
        ]
        print(f"Coverage of 95 % intervals in {args.simulations:,} simulations with {VERDICTS} verdicts:\n")
        print("| group | intervals | coverage | coverage of Wilson on raw counts |")
        print("| --- | ---: | ---: | ---: |")
        for title, selected in (
            ("kept lines", [outcome for outcome in outcomes if outcome[0] == "kept"]),
            ("each reason", [outcome for outcome in outcomes if outcome[0] != "kept"]),
            ("all", outcomes),
        ):
            coverage, raw_coverage = (sum(outcome[index] for outcome in selected) / len(selected) for index in (1, 2))
            print(f"| {title} | {len(selected):,} | {coverage:.1%} | {raw_coverage:.1%} |")
        compared = list(pool.map(widths, range(first_seed, first_seed + args.comparisons)))
    print(f"\nVerdicts needed for the same width, means over {args.comparisons} simulations:\n")
    print("| group | verdicts, random | width | verdicts, adaptive | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for index, title in enumerate(("kept lines", "all groups, mean")):
        curves = {
            kind: [
                sum(outcome[kind][position][index] for outcome in compared) / len(compared)
                for position in range(len(CHECKED))
            ]
            for kind in ("information", "random")
        }
        for count in (300, 500, 1000):
            width = curves["random"][CHECKED.index(count)]
            verdicts = needed(curves["information"], width)
            print(f"| {title} | {count} | {width:.3f} | {verdicts:.0f} | {verdicts / count:.2f} |")
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
