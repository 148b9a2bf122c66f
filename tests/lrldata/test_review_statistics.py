"""Intervals, agreement, and which line is asked next."""

import random

import numpy as np
import pytest

from lrldata.review.sampling import OpenStratum, Queue
from lrldata.review.statistics import Stratum, estimate, krippendorff_alpha, wilson


def test_wilson_gives_the_published_values() -> None:
    assert wilson(142, 150) == pytest.approx((0.8983, 0.9727), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_finite_population_makes_the_interval_narrower_to_nothing() -> None:
    wide, narrow = wilson(45, 50), wilson(45, 50, 100)
    assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]
    assert wilson(45, 50, 50) == (0.9, 0.9)
    assert wilson(45, 50, 10**9) == pytest.approx(wide, abs=1e-6)


def test_alpha_is_that_of_krippendorffs_own_example() -> None:
    """Of Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C: four observers, nominal data."""
    table = (
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    lines = [[each for each in column if each != "."] for column in zip(*map(str.split, table), strict=True)]
    assert krippendorff_alpha(lines) == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_not_defined_without_disagreement_or_shared_lines() -> None:
    assert krippendorff_alpha([["right"], ["wrong"]]) is None
    assert krippendorff_alpha([["right", "right"]] * 5) is None
    assert krippendorff_alpha([["right", "right"], ["wrong", "wrong"]]) == 1.0


def test_one_reviewer_and_one_stratum_have_wilsons_interval() -> None:
    votes = [{"Ana": True}] * 18 + [{"Ana": False}] * 2
    found = estimate({"menu": [Stratum(400, votes)]})
    share = found.shares["menu"]
    assert (share.judged, share.right, share.share) == (20, 18, 0.9)
    assert (share.low, share.high) == wilson(18, 20, 400)
    assert found.errors is None


def votes_of(good: int, bad: int, errors: dict[str, float], seed: int) -> list[dict[str, bool]]:
    chance = random.Random(seed)
    return [
        {name: truth != (chance.random() < error) for name, error in errors.items()}
        for truth in [True] * good + [False] * bad
    ]


def test_errors_of_reviewers_are_found_by_their_disagreements_and_allowed_for() -> None:
    votes = votes_of(285, 15, {"Ana": 0.05, "Ion": 0.2, "Eva": 0.1}, 3)
    found = estimate({"kept": [Stratum(100_000, votes)]})
    assert found.errors == pytest.approx({"Ana": 0.05, "Ion": 0.2, "Eva": 0.1}, abs=0.04)
    share = found.shares["kept"]
    assert share.low < 0.95 < share.high
    bare = sum(vote for each in votes for vote in each.values()) / 900
    assert bare < share.low, "what they say, taken for true, is far off"


def test_strata_weigh_as_much_as_they_have_lines() -> None:
    near = Stratum(1_000, [{"Ana": False}] * 40)
    far = Stratum(9_000, [{"Ana": True}] * 40)
    share = estimate({"kept": [near, far]}).shares["kept"]
    assert (share.judged, share.right) == (80, 40)
    assert 0.85 < share.low < 0.9 < share.high < 0.93


def test_what_was_judged_before_counts_as_it_was() -> None:
    share = estimate({"kept": [Stratum(900, [], right=900), Stratum(100, [{"Ana": False}] * 100)]}).shares["kept"]
    assert share.low == pytest.approx(0.9, abs=0.001)
    assert share.high == pytest.approx(0.9, abs=0.001)


def test_the_same_votes_give_the_same_numbers() -> None:
    votes = votes_of(30, 5, {"Ana": 0.1, "Ion": 0.1}, 1)
    assert estimate({"kept": [Stratum(500, votes)]}) == estimate({"kept": [Stratum(500, votes)]})


def test_most_intervals_hold_the_truth() -> None:
    """A few of what tools/benchmarks/eval_review.py simulates by the thousand."""
    held = 0
    for seed in range(60):
        chance = random.Random(seed)
        good = chance.randint(120, 150)
        population = [True] * (good * 10) + [False] * (1500 - good * 10)
        chance.shuffle(population)
        errors = {"Ana": chance.uniform(0.05, 0.2), "Ion": chance.uniform(0.05, 0.2)}
        votes = [
            {name: truth != (chance.random() < error) for name, error in errors.items()} for truth in population[:150]
        ]
        share = estimate({"kept": [Stratum(1500, votes)]}).shares["kept"]
        held += share.low <= np.mean(population) <= share.high
    assert held >= 54


def queue() -> Queue:
    sizes = {("kept", "near"): 100, ("kept", "far"): 900, ("menu", ""): 30, ("url", ""): 3}
    return Queue(
        OpenStratum(group, size, [f"{group}{name}{n}" for n in range(min(size, 20))])
        for (group, name), size in sizes.items()
    )


def asked(made: Queue, reviewer: str, truth: dict[str, bool], most: int) -> list[str]:
    lines = []
    for _ in range(most):
        line = made.next(reviewer)
        if line is None:
            break
        lines.append(line)
        made.put(line, reviewer, truth.get(line.rstrip("0123456789"), True))
    return lines


def test_every_line_is_asked_once_of_a_reviewer() -> None:
    lines = asked(queue(), "Ana", {}, 1000)
    assert len(lines) == len(set(lines)) == 63


def test_strata_of_which_little_is_known_are_asked_more() -> None:
    made = queue()
    chance = random.Random(0)
    for _ in range(40):
        line = made.next("Ana") or ""
        made.put(line, "Ana", not line.startswith("menu") or chance.random() < 0.5)
    menu, url = (each.judged for each in made.strata[2:])
    assert url == 3
    assert menu >= 10


def test_lines_are_shared_and_those_in_dispute_come_first() -> None:
    made = queue()
    asked(made, "Ana", {}, 30)
    second = made.next("Ion") or ""
    shared = [line for line in (made.next("Ion", excluded=[second]),) if line]
    assert second in {line for stratum in made.strata for line in stratum.votes}
    assert shared
    made.put(second, "Ion", False)
    stratum = next(each for each in made.strata if second in each.votes)
    assert next(stratum.candidates("Eva")) == second


def test_what_was_taken_back_is_asked_again() -> None:
    made = queue()
    line = made.next("Ana") or ""
    made.put(line, "Ana", None)
    assert made.next("Ana") != line
    made.take_back(line, "Ana")
    assert made.strata[0].judged == 0
    remaining = set(asked(made, "Ana", {}, 1000))
    assert line in remaining


def test_which_line_of_a_stratum_is_asked_does_not_depend_on_what_lines_say() -> None:
    made = queue()
    stratum = made.strata[1]
    for number, vote in enumerate((True, False, None, True, False) * 2):
        assert next(stratum.candidates("Ana")) == f"keptfar{number}"
        made.put(f"keptfar{number}", "Ana", vote)
