"""Metrics as scikit-learn and seqeval have them, intervals that cover, tests that keep their promise, Holm."""

import time
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lrltrain.evaluation import statistics
from lrltrain.evaluation.correlation import correlate
from lrltrain.evaluation.statistics import ALPHA, Counts

LABELS = ("a", "b", "c", "d")


def tags(draw: np.random.Generator, items: int) -> list[list[str]]:
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    return [[names[place] for place in draw.integers(0, 5, draw.integers(1, 9))] for _ in range(items)]


def noisy(draw: np.random.Generator, items: int, share: float, seeds: int = 2) -> tuple[list[str], list[list[Any]]]:
    """Return labels and what seeds predict, of which about this share is right."""
    gold = [LABELS[place] for place in draw.integers(0, 4, items)]
    predicted = [
        [each if draw.random() < share else LABELS[draw.integers(0, 4)] for each in gold] for _ in range(seeds)
    ]
    return gold, predicted


def counted(gold: list[str], predicted: list[list[Any]]) -> Counts:
    return statistics.label_counts(gold, predicted, LABELS)


def test_macro_f1_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(1)
    for size in (1, 2, 5, 40, 200):
        gold, predicted = noisy(draw, size, 0.4, seeds=3)
        expected = [metrics.f1_score(gold, each, average="macro", zero_division=0) for each in predicted]
        assert statistics.by_seed(counted(gold, predicted)) == pytest.approx(expected)


def test_a_prediction_that_is_none_is_wrong_and_of_no_class() -> None:
    # a: 1 right of 1 predicted and 2 gold, 2/3; b: 1 of 2 and 1, 2/3.
    assert statistics.by_seed(counted(["a", "a", "b"], [["a", "b", "b"]])) == pytest.approx([2 / 3])
    # a: 1 of 1 and 2, 2/3; b: 1 of 1 and 1, 1.
    assert statistics.by_seed(counted(["a", "a", "b"], [["a", None, "b"]])) == pytest.approx([(2 / 3 + 1) / 2])


def test_entities_are_those_of_seqeval() -> None:
    metrics = pytest.importorskip("seqeval.metrics")
    draw = np.random.default_rng(2)
    cases = [([["B-PER", "I-PER", "I-LOC", "O", "I-PER"]], [["B-PER", "I-PER", "B-LOC", "O", "B-PER"]])]
    for items in (3, 10, 50):
        gold = tags(draw, items)
        guess = [[tag if draw.random() < 0.6 else "I-LOC" for tag in each] for each in gold]
        cases += [(gold, gold), (gold, guess), (guess, gold)]
    for gold, guess in cases:
        found = statistics.by_seed(statistics.span_counts(gold, [guess]))
        assert found == pytest.approx([metrics.f1_score(gold, guess, zero_division=0)])


def test_a_sentence_of_which_nothing_was_predicted_has_no_entity() -> None:
    counts = statistics.span_counts([["B-PER", "O"], ["O", "O"]], [[None, ["O", None]]])
    assert counts[:, 0, 0].tolist() == [[0, 0, 1], [0, 0, 0]]
    assert statistics.by_seed(counts) == [0]
    assert statistics.by_seed(statistics.span_counts([["O"]], [[["O"]]])) == [0]


def test_a_resample_is_scored_as_the_items_that_it_draws() -> None:
    gold, predicted = noisy(np.random.default_rng(3), 30, 0.5)
    counts = counted(gold, predicted)
    drawn = statistics.bootstrap(counts, 5, seed=9)
    chosen = np.random.default_rng(9).integers(0, 30, (5, 30))
    assert drawn == pytest.approx([statistics.by_seed(counts[rows]).mean() for rows in chosen])
    assert (drawn == statistics.bootstrap(counts, 5, seed=9)).all()
    assert (drawn != statistics.bootstrap(counts, 5, seed=8)).any()


def test_an_interval_covers_what_it_should() -> None:
    # Of items that are right with probability 0.7 of two classes alike, macro-F1 is 0.7 in the long run.
    draw = np.random.default_rng(4)
    covered = 0
    for trial in range(200):
        gold = [LABELS[place] for place in draw.integers(0, 2, 150)]
        right = draw.random(150) < 0.7
        said = [each if fine else "ab"[each == "a"] for each, fine in zip(gold, right, strict=True)]
        counts = counted(gold, [said])
        found = statistics.percentiles(0.0, statistics.bootstrap(counts, 400, seed=trial))
        covered += found.low <= 0.7 <= found.high
    assert 180 <= covered <= 198, "95 % of 200 is 190, with a standard deviation of 3"


SIZES = np.array([51, 17, 19, 22, 25, 30, 40])  # of the classes of SIB-200's test sets
ACCURACY = np.array([0.85, 0.55, 0.6, 0.65, 0.75, 0.7, 0.8])  # of a classifier, by class


def classified(draw: np.random.Generator, items: int) -> tuple[list[str], list[str]]:
    gold = draw.choice(7, items, p=SIZES / SIZES.sum())
    said = np.where(draw.random(items) < ACCURACY[gold], gold, draw.integers(0, 7, items))
    return [str(each) for each in gold], [str(each) for each in said]


def test_the_interval_of_an_average_over_languages_covers_what_it_should() -> None:
    draw = np.random.default_rng(1)
    labels = [str(each) for each in range(7)]

    def counts_of(items: int) -> statistics.Counts:
        gold, said = classified(draw, items)
        return statistics.label_counts(gold, [said], labels)

    truth = statistics.by_seed(counts_of(200_000))[0]
    covered, by_percentiles, times = 0, 0, 40
    for _ in range(times):
        languages = [counts_of(204) for _ in range(30)]
        value = float(np.mean([statistics.by_seed(each)[0] for each in languages]))
        drawn = np.mean([statistics.bootstrap(each, 200, seed) for seed, each in enumerate(languages)], axis=0)
        found, plain = statistics.mirrored(value, drawn), statistics.percentiles(value, drawn)
        covered += found.low <= truth <= found.high
        by_percentiles += plain.low <= truth <= plain.high
    assert covered >= 0.85 * times > by_percentiles


def test_an_interval_keeps_to_what_a_score_can_be() -> None:
    drawn = np.linspace(0.9, 1.0, 100)
    assert statistics.mirrored(0.98, drawn) == statistics.Interval(0.98, pytest.approx(0.9625), 1.0)
    assert statistics.mirrored(0.02, 1 - drawn, least=0.0).low == 0.0


def test_seeds_widen_an_interval_as_far_as_they_differ() -> None:
    items = np.random.default_rng(2).normal(0.6, 0.01, 20_000)
    assert (statistics.with_seeds(items, np.array([0.6]), 1) == items).all(), "one tells nothing of others"
    seeds = np.array([0.57, 0.6, 0.63])
    wide = statistics.with_seeds(items, seeds, 1)
    assert wide.std() == pytest.approx(np.hypot(0.01, seeds.std(ddof=1) / np.sqrt(3)), rel=0.03)
    assert wide.mean() == pytest.approx(0.6, abs=1e-3)


def test_few_seeds_widen_an_interval_as_student_s_t_does() -> None:
    draw = np.random.default_rng(5)
    items = np.zeros(4_000)
    for many in (2, 3, 5, 10):
        covered = 0
        for trial in range(300):
            seeds = draw.normal(0.0, 0.03, many)
            drawn = statistics.with_seeds(items + seeds.mean(), seeds, trial)
            found = statistics.mirrored(seeds.mean(), drawn, wider=statistics.widening(drawn, seeds))
            covered += found.low <= 0 <= found.high
        assert 0.91 <= covered / 300 <= 0.985, many
    wide = draw.normal(0, 0.05, 4_000)
    assert statistics.widening(wide, np.array([0.0, 0.001, 0.002])) == pytest.approx(1, abs=0.01), "items alone matter"
    assert statistics.widening(wide) == statistics.widening(wide, np.array([0.3])) == 1
    for freedom in (1, 2, 3, 6, 11, 25, 100):
        assert statistics._student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.01)  # noqa: SLF001
    seeds = np.array([0.1, 0.2, 0.4])
    low, _ = stats.t.interval(0.95, 2, seeds.mean(), stats.sem(seeds))
    assert statistics.margin(seeds) == pytest.approx(seeds.mean() - low, rel=0.001)


def test_a_test_that_ends_early_tells_the_same() -> None:
    draw = np.random.default_rng(3)
    differences = draw.normal(0.1, 1, 60)
    early, whole = (statistics.sign_flips(differences, times, seed=1) for times in (400_000, 1_900))
    assert early == pytest.approx(whole, rel=0.15)
    began = time.process_time()
    assert statistics.sign_flips(np.tile([1.0, -1.0], 500), 20_000_000, seed=1) == 1
    assert time.process_time() - began < 5, "no more than shows that p is large"


def test_p_is_uniform_where_two_methods_are_alike() -> None:
    draw = np.random.default_rng(5)
    ps = []
    for trial in range(150):
        gold, one = noisy(draw, 80, 0.6)
        other = [[each if draw.random() < 0.6 else LABELS[draw.integers(0, 4)] for each in gold] for _ in range(2)]
        ps.append(statistics.randomization(counted(gold, one), counted(gold, other), 299, seed=trial))
    assert stats.kstest(ps, "uniform").pvalue > 0.01
    assert np.mean([p < ALPHA for p in ps]) < 0.12


def test_p_is_small_where_they_are_not_and_one_where_they_are_the_same() -> None:
    draw = np.random.default_rng(6)
    gold, good = noisy(draw, 200, 0.9)
    bad = [[each if draw.random() < 0.5 else LABELS[draw.integers(0, 4)] for each in gold] for _ in range(2)]
    one, other = counted(gold, good), counted(gold, bad)
    assert statistics.randomization(one, other, 999, seed=0) == 1 / 1000
    assert statistics.randomization(other, one, 999, seed=0) == 1 / 1000
    assert statistics.randomization(one, one, 999, seed=0) == 1


def test_p_by_chance_is_that_of_all_exchanges() -> None:
    # Five items, of which one method has all right and the other the first: of 32 exchanges, those that move the two as
    # far apart again are the ones that exchange all of the four that differ, or none: 4 of 32.
    gold, none = ["a"] * 5, ["a", None, None, None, None]
    counts = counted(gold, [gold]), counted(gold, [none])
    assert statistics.randomization(*counts, 20_000, seed=1) == pytest.approx(4 / 32, abs=0.01)


def test_flips_of_signs_are_exact_for_a_few() -> None:
    # Of 2**4 signs of equal differences, all alike in 2.
    assert statistics.sign_flips(np.ones(4), 20_000, seed=1) == 1 / 8
    assert statistics.sign_flips(np.array([1.0, 2, 3]), 99, seed=1) == 1 / 4
    assert statistics.sign_flips(np.zeros(4), 99, seed=1) == 1


def test_holm_as_in_a_textbook() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.6]) == [1, 1]
    assert statistics.holm([]) == []


def test_many_comparisons_leave_room_for_a_gain() -> None:
    for comparisons in (1, 10, 600):
        assert comparisons / (statistics.exchanges_for(comparisons) + 1) <= ALPHA / 2


def test_one_seed_has_no_deviation() -> None:
    assert statistics.deviation([0.5]) is None
    assert statistics.deviation([0.5, 0.7]) == pytest.approx(0.2 / np.sqrt(2))


def test_correlations_are_those_of_scipy() -> None:
    draw = np.random.default_rng(7)
    for points in (4, 6, 25):
        x = draw.normal(size=points).round(1)
        y = x + draw.normal(size=points)
        found = correlate(x, y)
        assert found
        pearson, spearman = stats.pearsonr(x, y), stats.spearmanr(x, y)
        assert (found.pearson, found.spearman) == pytest.approx((pearson.statistic, spearman.statistic))
        if points == 25:
            assert found.pearson_p == pytest.approx(pearson.pvalue, abs=0.02)
            assert found.spearman_p == pytest.approx(spearman.pvalue, abs=0.02)
    found = correlate(np.arange(4.0), np.arange(4.0))
    assert found
    assert found.pearson_p == pytest.approx(2 / 24), "of the orders of four, the same and the reverse"
    assert correlate(np.arange(2.0), np.arange(2.0)) is None
    assert correlate(np.arange(4.0), np.ones(4)) is None
