"""Intervals, agreement, and the choice of the next line."""

import random

import numpy as np
import pytest

from lrldata.review.sampling import OpenStratum, Queue
from lrldata.review.statistics import Stratum, estimate, krippendorff_alpha, wilson
from lrldata.review.wording import agreement


def test_wilson_gives_the_published_values() -> None:
    assert wilson(142, 150) == pytest.approx((0.8983, 0.9727), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_finite_population_narrows_the_interval_down_to_a_point() -> None:
    wide, narrow = wilson(45, 50), wilson(45, 50, 100)
    assert wide[0] < narrow[0] < 0.9 < narrow[1] < wide[1]
    assert wilson(45, 50, 50) == (0.9, 0.9)
    assert wilson(45, 50, 10**9) == pytest.approx(wide, abs=1e-6)


def test_alpha_equals_that_of_krippendorffs_own_example() -> None:
    """Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C: four observers, nominal data."""
    table = (
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    lines = [[value for value in column if value != "."] for column in zip(*map(str.split, table), strict=True)]
    assert krippendorff_alpha(lines) == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_undefined_without_disagreement_or_shared_lines() -> None:
    assert krippendorff_alpha([["right"], ["wrong"]]) is None
    assert krippendorff_alpha([["right", "right"]] * 5) is None
    assert krippendorff_alpha([["right", "right"], ["wrong", "wrong"]]) == 1.0


def test_one_reviewer_and_one_stratum_give_wilsons_interval() -> None:
    votes = [{"Ana": True}] * 18 + [{"Ana": False}] * 2
    result = estimate({"menu": [Stratum(400, votes)]})
    share = result.shares["menu"]
    assert (share.judged, share.right, share.share) == (20, 18, 0.9)
    assert (share.low, share.high) == wilson(18, 20, 400)
    assert result.errors is None


def votes_of(good: int, bad: int, errors: dict[str, float], seed: int) -> list[dict[str, bool]]:
    rng = random.Random(seed)
    return [
        {name: truth != (rng.random() < error) for name, error in errors.items()}
        for truth in [True] * good + [False] * bad
    ]


def test_errors_of_reviewers_are_estimated_from_disagreements_and_corrected_for() -> None:
    votes = votes_of(285, 15, {"Ana": 0.05, "Ion": 0.2, "Eva": 0.1}, 3)
    result = estimate({"kept": [Stratum(100_000, votes)]})
    assert result.errors == pytest.approx({"Ana": 0.05, "Ion": 0.2, "Eva": 0.1}, abs=0.04)
    share = result.shares["kept"]
    assert share.low < 0.95 < share.high
    raw_share = sum(vote for line_votes in votes for vote in line_votes.values()) / 900
    assert raw_share < share.low, "the uncorrected share is far off"


def test_strata_are_weighted_by_their_number_of_lines() -> None:
    near = Stratum(1_000, [{"Ana": False}] * 40)
    far = Stratum(9_000, [{"Ana": True}] * 40)
    share = estimate({"kept": [near, far]}).shares["kept"]
    assert (share.judged, share.right) == (80, 40)
    assert 0.85 < share.low < 0.9 < share.high < 0.93


def test_strata_whose_lines_are_all_known_count_exactly() -> None:
    share = estimate({"kept": [Stratum(900, [], right=900), Stratum(100, [{"Ana": False}] * 100)]}).shares["kept"]
    assert share.low == pytest.approx(0.9, abs=0.001)
    assert share.high == pytest.approx(0.9, abs=0.001)


def test_the_same_votes_give_the_same_numbers() -> None:
    votes = votes_of(30, 5, {"Ana": 0.1, "Ion": 0.1}, 1)
    assert estimate({"kept": [Stratum(500, votes)]}) == estimate({"kept": [Stratum(500, votes)]})


def test_most_intervals_contain_the_true_share() -> None:
    """A small sample of the simulations that tools/benchmarks/eval_review.py runs by the thousand."""
    covered = 0
    for seed in range(60):
        rng = random.Random(seed)
        good = rng.randint(120, 150)
        population = [True] * (good * 10) + [False] * (1500 - good * 10)
        rng.shuffle(population)
        errors = {"Ana": rng.uniform(0.05, 0.2), "Ion": rng.uniform(0.05, 0.2)}
        votes = [
            {name: truth != (rng.random() < error) for name, error in errors.items()} for truth in population[:150]
        ]
        share = estimate({"kept": [Stratum(1500, votes)]}).shares["kept"]
        covered += share.low <= np.mean(population) <= share.high
    assert covered >= 54


def make_queue() -> Queue:
    sizes = {("kept", "near"): 100, ("kept", "far"): 900, ("menu", ""): 30, ("url", ""): 3}
    return Queue(
        OpenStratum(group, size, [f"{group}{name}{n}" for n in range(min(size, 20))])
        for (group, name), size in sizes.items()
    )


def judge_all(queue: Queue, reviewer: str, truth: dict[str, bool], limit: int) -> list[str]:
    lines = []
    for _ in range(limit):
        line = queue.next(reviewer)
        if line is None:
            break
        lines.append(line)
        queue.put(line, reviewer, truth.get(line.rstrip("0123456789"), True))
    return lines


def test_a_reviewer_is_asked_about_each_line_once() -> None:
    lines = judge_all(make_queue(), "Ana", {}, 1000)
    assert len(lines) == len(set(lines)) == 63


def test_uncertain_strata_are_asked_about_more() -> None:
    queue = make_queue()
    rng = random.Random(0)
    for _ in range(40):
        line = queue.next("Ana") or ""
        queue.put(line, "Ana", not line.startswith("menu") or rng.random() < 0.5)
    menu, url = (stratum.judged for stratum in queue.strata[2:])
    assert url == 3
    assert menu >= 10


def test_lines_are_shared_and_disputed_ones_come_first() -> None:
    queue = make_queue()
    judge_all(queue, "Ana", {}, 30)
    second = queue.next("Ion") or ""
    shared = [line for line in (queue.next("Ion", excluded=[second]),) if line]
    assert second in {line for stratum in queue.strata for line in stratum.votes}
    assert shared
    queue.put(second, "Ion", False)
    stratum = next(stratum for stratum in queue.strata if second in stratum.votes)
    assert next(stratum.candidates("Eva")) == second


def test_a_line_is_asked_again_when_its_verdict_is_taken_back() -> None:
    queue = make_queue()
    line = queue.next("Ana") or ""
    queue.put(line, "Ana", None)
    assert queue.next("Ana") != line
    queue.take_back(line, "Ana")
    assert queue.strata[0].judged == 0
    remaining = set(judge_all(queue, "Ana", {}, 1000))
    assert line in remaining


def test_the_order_of_lines_within_a_stratum_does_not_depend_on_verdicts() -> None:
    queue = make_queue()
    stratum = queue.strata[1]
    for number, vote in enumerate((True, False, None, True, False) * 2):
        assert next(stratum.candidates("Ana")) == f"keptfar{number}"
        queue.put(f"keptfar{number}", "Ana", vote)


@pytest.mark.parametrize(
    ("shared", "alpha", "error", "expected"),
    [
        (0, None, None, "No line was judged by two speakers"),
        (60, None, 0.014, "On 60 shared lines the speakers gave the same verdict throughout; the intervals allow"),
        (1, None, None, "On 1 shared line the speakers gave the same verdict throughout."),
        (60, 0.5, None, "On 60 shared lines Krippendorff's alpha is 0.50."),
    ],
)
def test_agreement_in_words(shared: int, alpha: float | None, error: float | None, expected: str) -> None:
    assert agreement({"shared": shared, "alpha": alpha, "error": error}).startswith(expected)
