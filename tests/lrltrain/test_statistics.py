"""Metrics that agree with scikit-learn and seqeval, coverage of intervals, validity of tests, and Holm's correction."""

import time
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lrltrain.evaluation import significance, statistics
from lrltrain.evaluation.correlation import correlate
from lrltrain.evaluation.statistics import ALPHA, Counts

LABELS = ("a", "b", "c", "d")


def tags(generator: np.random.Generator, items: int) -> list[list[str]]:
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    return [[names[index] for index in generator.integers(0, 5, generator.integers(1, 9))] for _ in range(items)]


def noisy(
    generator: np.random.Generator, items: int, share: float, seeds: int = 2
) -> tuple[list[str], list[list[Any]]]:
    """Return gold labels and the predictions of each seed, of which about this share is right."""
    gold = [LABELS[index] for index in generator.integers(0, 4, items)]
    predicted = [
        [label if generator.random() < share else LABELS[generator.integers(0, 4)] for label in gold]
        for _ in range(seeds)
    ]
    return gold, predicted


def count_labels(gold: list[str], predicted: list[list[Any]]) -> Counts:
    return statistics.label_counts(gold, predicted, LABELS)


def test_macro_f1_equals_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(1)
    for size in (1, 2, 5, 40, 200):
        gold, predicted = noisy(generator, size, 0.4, seeds=3)
        expected = [metrics.f1_score(gold, labels, average="macro", zero_division=0) for labels in predicted]
        assert statistics.by_seed(count_labels(gold, predicted)) == pytest.approx(expected)


def test_a_missing_prediction_is_wrong_and_belongs_to_no_class() -> None:
    # a: 1 right, 1 predicted, 2 gold: F1 2/3; b: 1 right, 2 predicted, 1 gold: F1 2/3.
    assert statistics.by_seed(count_labels(["a", "a", "b"], [["a", "b", "b"]])) == pytest.approx([2 / 3])
    # a: 1 right, 1 predicted, 2 gold: F1 2/3; b: 1 right, 1 predicted, 1 gold: F1 1.
    assert statistics.by_seed(count_labels(["a", "a", "b"], [["a", None, "b"]])) == pytest.approx([(2 / 3 + 1) / 2])


def test_a_sentence_without_predictions_has_no_entity() -> None:
    counts = statistics.span_counts([["B-PER", "O"], ["O", "O"]], [[None, ["O", None]]])
    assert counts[:, 0, 0].tolist() == [[0, 0, 1], [0, 0, 0]]
    assert statistics.by_seed(counts) == [0]
    assert statistics.by_seed(statistics.span_counts([["O"]], [[["O"]]])) == [0]


def test_a_resample_has_the_score_of_the_items_in_it() -> None:
    gold, predicted = noisy(np.random.default_rng(3), 30, 0.5)
    counts = count_labels(gold, predicted)
    resampled = statistics.bootstrap(counts, 5, seed=9)
    chosen = np.random.default_rng(9).integers(0, 30, (5, 30))
    assert resampled == pytest.approx([statistics.by_seed(counts[rows]).mean() for rows in chosen])
    assert (resampled == statistics.bootstrap(counts, 5, seed=9)).all()
    assert (resampled != statistics.bootstrap(counts, 5, seed=8)).any()


@pytest.mark.parametrize(("items", "accuracy", "least"), [(150, 0.7, 180), (45, 0.95, 170)])
def test_an_interval_has_its_nominal_coverage(items: int, accuracy: float, least: int) -> None:
    # With two equally frequent classes, macro-F1 tends to the probability that an item is right.
    generator = np.random.default_rng(4)
    covered = by_mirrored = 0
    for trial in range(200):
        gold = [LABELS[index] for index in generator.integers(0, 2, items)]
        right = generator.random(items) < accuracy
        predicted = [label if is_right else "ab"[label == "a"] for label, is_right in zip(gold, right, strict=True)]
        counts = count_labels(gold, [predicted])
        value, resampled = statistics.by_seed(counts)[0], statistics.bootstrap(counts, 400, seed=trial)
        interval, mirrored = statistics.percentiles(value, resampled), statistics.mirrored(value, resampled)
        covered += interval.low <= accuracy <= interval.high
        by_mirrored += mirrored.low <= accuracy <= mirrored.high
    assert least <= covered <= 198, "95 % of 200 is 190, with a standard deviation of 3"
    assert by_mirrored <= covered + 3, "a skewed score on few items is covered in only two thirds of trials"


SIZES = np.array([51, 17, 19, 22, 25, 30, 40])  # items of each class in SIB-200's test sets
ACCURACY = np.array([0.85, 0.55, 0.6, 0.65, 0.75, 0.7, 0.8])  # of a classifier, by class


def classified(generator: np.random.Generator, items: int) -> tuple[list[str], list[str]]:
    gold = generator.choice(7, items, p=SIZES / SIZES.sum())
    predicted = np.where(generator.random(items) < ACCURACY[gold], gold, generator.integers(0, 7, items))
    return [str(label) for label in gold], [str(label) for label in predicted]


def test_the_interval_of_an_average_over_languages_has_better_coverage_than_percentiles() -> None:
    generator = np.random.default_rng(1)
    labels = [str(label) for label in range(7)]

    def counts_of(items: int) -> statistics.Counts:
        gold, predicted = classified(generator, items)
        return statistics.label_counts(gold, [predicted], labels)

    truth = statistics.by_seed(counts_of(200_000))[0]
    covered, by_percentiles, trials = 0, 0, 40
    for _ in range(trials):
        languages = [counts_of(204) for _ in range(30)]
        value = float(np.mean([statistics.by_seed(counts)[0] for counts in languages]))
        resampled = np.mean([statistics.bootstrap(counts, 200, seed) for seed, counts in enumerate(languages)], axis=0)
        interval, plain_interval = statistics.mirrored(value, resampled), statistics.percentiles(value, resampled)
        covered += interval.low <= truth <= interval.high
        by_percentiles += plain_interval.low <= truth <= plain_interval.high
    assert covered >= 0.85 * trials > by_percentiles


def test_an_interval_stays_within_the_range_of_the_score() -> None:
    resampled = np.linspace(0.9, 1.0, 100)
    assert statistics.mirrored(0.98, resampled) == statistics.Interval(0.98, pytest.approx(0.9625), 1.0)
    assert statistics.mirrored(0.02, 1 - resampled, least=0.0).low == 0.0
    wide = statistics.percentiles(0.98, resampled, 0.0, 1.0, wider=2.0)
    assert wide == statistics.Interval(0.98, pytest.approx(0.98 - 2 * (0.98 - 0.9025)), 1.0)


def test_seeds_widen_an_interval_by_their_spread() -> None:
    items = np.random.default_rng(2).normal(0.6, 0.01, 20_000)
    assert (statistics.with_seeds(items, np.array([0.6]), 1) == items).all(), "one seed says nothing about others"
    seeds = np.array([0.57, 0.6, 0.63])
    wide = statistics.with_seeds(items, seeds, 1)
    assert wide.std() == pytest.approx(np.hypot(0.01, seeds.std(ddof=1) / np.sqrt(3)), rel=0.03)
    assert wide.mean() == pytest.approx(0.6, abs=1e-3)


def test_few_seeds_widen_an_interval_as_much_as_student_s_t() -> None:
    generator = np.random.default_rng(5)
    items = np.zeros(4_000)
    for seed_count in (2, 3, 5, 10):
        covered = 0
        for trial in range(300):
            seeds = generator.normal(0.0, 0.03, seed_count)
            resampled = statistics.with_seeds(items + seeds.mean(), seeds, trial)
            interval = statistics.percentiles(
                float(seeds.mean()), resampled, wider=statistics.widening(resampled, seeds)
            )
            covered += interval.low <= 0 <= interval.high
        assert 0.91 <= covered / 300 <= 0.985, seed_count
    wide = generator.normal(0, 0.05, 4_000)
    assert statistics.widening(wide, np.array([0.0, 0.001, 0.002])) == pytest.approx(1, abs=0.01), (
        "only the items matter"
    )
    assert statistics.widening(wide) == statistics.widening(wide, np.array([0.3])) == 1
    for degrees in (1, 2, 3, 6, 11, 25, 100):
        assert statistics._student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=0.01)  # noqa: SLF001
    seeds = np.array([0.1, 0.2, 0.4])
    low, _ = stats.t.interval(0.95, 2, seeds.mean(), stats.sem(seeds))
    assert statistics.margin(seeds) == pytest.approx(seeds.mean() - low, rel=0.001)


def test_a_test_that_stops_early_gives_the_same_p() -> None:
    generator = np.random.default_rng(3)
    differences = generator.normal(0.1, 1, 60)
    early, whole = (significance.sign_flips(differences, exchanges, seed=1) for exchanges in (400_000, 1_900))
    assert early == pytest.approx(whole, rel=0.15)
    started = time.process_time()
    assert significance.sign_flips(np.tile([1.0, -1.0], 500), 20_000_000, seed=1) == 1
    assert time.process_time() - started < 5, "it stops as soon as p is known to be large"


def test_p_is_uniform_if_two_methods_are_equally_good() -> None:
    generator = np.random.default_rng(5)
    p_values = []
    for trial in range(150):
        gold, first = noisy(generator, 80, 0.6)
        second = [
            [label if generator.random() < 0.6 else LABELS[generator.integers(0, 4)] for label in gold]
            for _ in range(2)
        ]
        p_values.append(
            significance.randomization(count_labels(gold, first), count_labels(gold, second), 299, seed=trial)
        )
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean([p < ALPHA for p in p_values]) < 0.12


def test_p_is_small_for_different_methods_and_one_for_identical_predictions() -> None:
    generator = np.random.default_rng(6)
    gold, good = noisy(generator, 200, 0.9)
    bad = [
        [label if generator.random() < 0.5 else LABELS[generator.integers(0, 4)] for label in gold] for _ in range(2)
    ]
    first, second = count_labels(gold, good), count_labels(gold, bad)
    assert significance.randomization(first, second, 999, seed=0) == 1 / 1000
    assert significance.randomization(second, first, 999, seed=0) == 1 / 1000
    assert significance.randomization(first, first, 999, seed=0) == 1


def test_comparisons_made_together_have_the_p_of_each_alone() -> None:
    generator = np.random.default_rng(8)
    gold, good = noisy(generator, 150, 0.8)
    pairs = []
    for share, seeds in ((0.75, 2), (0.5, 1)):
        worse = [[label if generator.random() < share else LABELS[0] for label in gold] for _ in range(seeds)]
        pairs.append((count_labels(gold, good[:seeds]), count_labels(gold, worse)))
    pairs.append((pairs[0][0], pairs[0][0]))  # identical: ends at once
    alone = [significance.randomization(one, other, 9_999, seed=3) for one, other in pairs]
    assert significance.randomizations(pairs, 9_999, seed=3) == alone
    assert alone[1] < 0.001 < alone[0] < alone[2] == 1
    differences = {7: generator.normal(0.1, 1, 60), 2: generator.normal(0.5, 1, 60), 5: np.ones(4)}
    ps = significance.several_sign_flips(differences, 9_999, seed=1)
    assert ps == {number: significance.sign_flips(values, 9_999, seed=1) for number, values in differences.items()}


def test_p_from_random_exchanges_approximates_p_from_all_exchanges() -> None:
    # Of five items, one method has all right and the other only the first. 4 of the 32 exchanges move the two as far
    # apart again: those that exchange all or none of the four items that differ.
    gold, none = ["a"] * 5, ["a", None, None, None, None]
    counts = count_labels(gold, [gold]), count_labels(gold, [none])
    assert significance.randomization(*counts, 20_000, seed=1) == pytest.approx(4 / 32, abs=0.01)


def test_sign_flips_are_exact_for_a_few_differences() -> None:
    # With equal differences, 2 of the 2**4 sign assignments are as extreme.
    assert significance.sign_flips(np.ones(4), 20_000, seed=1) == 1 / 8
    assert significance.sign_flips(np.array([1.0, 2, 3]), 99, seed=1) == 1 / 4
    assert significance.sign_flips(np.zeros(4), 99, seed=1) == 1


def test_holm_agrees_with_a_textbook_example() -> None:
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.9, 0.6]) == [1, 1]
    assert significance.holm([]) == []


def test_many_comparisons_leave_room_for_a_gain() -> None:
    for comparisons in (1, 10, 600):
        assert comparisons / (significance.exchanges_for(comparisons) + 1) <= ALPHA / 2


def test_one_seed_has_no_standard_deviation() -> None:
    assert statistics.deviation([0.5]) is None
    assert statistics.deviation([0.5, 0.7]) == pytest.approx(0.2 / np.sqrt(2))


def test_correlations_equal_those_of_scipy() -> None:
    generator = np.random.default_rng(7)
    for points in (4, 6, 25):
        x = generator.normal(size=points).round(1)
        y = x + generator.normal(size=points)
        correlation = correlate(x, y)
        assert correlation
        pearson, spearman = stats.pearsonr(x, y), stats.spearmanr(x, y)
        assert (correlation.pearson, correlation.spearman) == pytest.approx((pearson.statistic, spearman.statistic))
        if points == 25:
            assert correlation.pearson_p == pytest.approx(pearson.pvalue, abs=0.02)
            assert correlation.spearman_p == pytest.approx(spearman.pvalue, abs=0.02)
    correlation = correlate(np.arange(4.0), np.arange(4.0))
    assert correlation
    assert correlation.pearson_p == pytest.approx(2 / 24), "of the 24 orders of four values, the same and the reverse"
    assert correlate(np.arange(2.0), np.arange(2.0)) is None
    assert correlate(np.arange(4.0), np.ones(4)) is None
