"""Tests of whether a difference is more than chance, and the correction for many comparisons. Pure.

Randomness is seeded: the same counts give the same numbers.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lrltrain.evaluation.statistics import ALPHA, ENOUGH, Counts, Floats, chunks, f1

_EXACT = 14  # differences; for at most this many, all signs are tried


def randomization(one: Counts, other: Counts, times: int, seed: int) -> float:
    """Return the two-sided p of the paired approximate randomization test between two methods on the same items.

    Noreen 1989: for each item, the predictions of both methods are exchanged or not, for all seeds together. p is the
    share of exchanges that move the F1 scores, averaged over seeds, at least as far apart as observed: with k of them,
    (1 + k) / (1 + `times`). After ENOUGH of these, the test ends early (Besag and Clifford 1991).
    """
    return randomizations([(one, other)], times, seed)[0]


def randomizations(pairs: Sequence[tuple[Counts, Counts]], times: int, seed: int) -> list[float]:
    """Return the p of `randomization` for several pairs of methods on the same items; coins are tossed only once."""
    tests = [_Exchanged(one, other) for one, other in pairs]

    def count_extreme(coins: NDArray[np.uint8], pending: NDArray[np.intp]) -> list[int]:
        chosen = [tests[number] for number in pending]
        moved = coins.astype(np.float32) @ np.concatenate([test.change for test in chosen], axis=1)
        ends = np.cumsum([test.change.shape[1] for test in chosen])
        parts = np.split(moved, ends[:-1], axis=1)
        return [test.count_extreme(part) for test, part in zip(chosen, parts, strict=True)]

    return _shares(len(tests), count_extreme, times, len(pairs[0][0]), seed)


class _Exchanged:
    """Two methods on the same items, for some of which their predictions are exchanged.

    `change` is what an exchange of each item adds to the sums of the first method, (items, columns), in the columns in
    which the methods differ.
    """

    def __init__(self, one: Counts, other: Counts) -> None:
        self._one, self._other = one.sum(0, dtype=np.float64), other.sum(0, dtype=np.float64)
        self._least = abs(f1(self._one).mean() - f1(self._other).mean()) - 1e-12
        change = (other - one).reshape(len(one), -1)
        self._columns = np.flatnonzero(change.any(0))
        self.change = change[:, self._columns]

    def count_extreme(self, moved: NDArray[np.floating]) -> int:
        """Count the exchanges that move the scores at least as far apart as observed; `moved` are sums of `change`."""
        change = np.zeros((len(moved), self._one.size))
        change[:, self._columns] = moved
        change = change.reshape(len(moved), *self._one.shape)
        distances = np.abs(f1(self._one + change).mean(-1) - f1(self._other - change).mean(-1))
        return int((distances >= self._least).sum())


def sign_flips(differences: Floats, times: int, seed: int) -> float:
    """Return p of the same test for a mean of differences (items,), where exchanging two values flips a sign.

    For few items, all signs are tried, and p is exact.
    """
    return _sign_flips([differences], times, len(differences), seed)[0]


def several_sign_flips(differences: Mapping[int, Floats], times: int, seed: int) -> dict[int, float]:
    """Return the p of `sign_flips` for several means by number; for those over as many items, coins are tossed once."""
    by_size: dict[int, list[int]] = {}
    for number, values in differences.items():
        by_size.setdefault(len(values), []).append(number)
    ps: dict[int, float] = {}
    for items, numbers in by_size.items():
        ps |= zip(numbers, _sign_flips([differences[number] for number in numbers], times, items, seed), strict=True)
    return ps


def _sign_flips(differences: Sequence[Floats], times: int, items: int, seed: int) -> list[float]:
    values = np.stack(differences, axis=1)
    totals = np.array([float(column.sum()) for column in differences])
    least = np.abs(totals) * (1 - 1e-12)

    def count_extreme(flipped: NDArray[np.integer], pending: NDArray[np.intp]) -> list[int]:
        moved = totals[pending] - 2.0 * (flipped.astype(np.float64) @ values[:, pending])
        return list(map(int, (np.abs(moved) >= least[pending]).sum(0)))

    if items <= _EXACT:
        flipped = np.arange(2**items)[:, None] >> np.arange(items) & 1
        return [count / 2**items for count in count_extreme(flipped, np.arange(len(totals)))]
    return _shares(len(totals), count_extreme, times, items, seed)


def _shares(
    tests: int,
    count_extreme: Callable[[NDArray[np.uint8], NDArray[np.intp]], list[int]],
    times: int,
    items: int,
    seed: int,
) -> list[float]:
    """Return for each of several tests the share of exchanges that are at least as extreme as what was observed.

    `count_extreme` counts these for coins (exchanges, items), in each of the tests that have not ended.
    """
    generator = np.random.default_rng(seed)
    extreme, done, pending = np.zeros(tests, np.intp), np.zeros(tests, np.intp), np.arange(tests)
    for count in chunks(times, items):
        extreme[pending] += count_extreme(_coins(generator, count, items), pending)
        done[pending] += count
        pending = pending[extreme[pending] < ENOUGH]
        if not len(pending):
            break
    shares: list[float] = ((1 + extreme) / (1 + done)).tolist()
    return shares


def holm(ps: Sequence[float]) -> list[float]:
    """Correct the p of many comparisons so that the chance of even one false gain among all of them is ALPHA.

    Holm 1979: the smallest is multiplied by their number, the next by one less, and none is below the one before it.
    """
    corrected = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, ps[index] * (len(ps) - rank)))
        corrected[index] = highest
    return corrected


def exchanges_for(comparisons: int) -> int:
    """Return the number of exchanges with which a clear difference can stay below ALPHA after the correction."""
    return max(9_999, round(2 * comparisons / ALPHA) - 1)


def _coins(generator: np.random.Generator, count: int, items: int) -> NDArray[np.uint8]:
    """Toss coins: return (count, items) of 0 and 1."""
    return np.unpackbits(generator.integers(0, 256, (count, -(-items // 8)), np.uint8), axis=1, count=items)
