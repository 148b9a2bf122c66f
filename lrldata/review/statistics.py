"""Estimate from verdicts how many of the lines that nobody judged are good, and how certain that is. Pure.

For one reviewer and one stratum: the interval of Wilson (1927) with the finite-population correction. Otherwise: the
model of Dawid and Skene (1979) with one error rate per reviewer. A line is good or not, and a reviewer says the
opposite of the truth in a share of cases that is the same for good and bad lines. If reviewers share lines, their
disagreements show how large that share is. The interval is the equal-tailed one of the posterior, by Gibbs sampling,
with a prior near Jeffreys'. A stratum's prior is weaker if its group has several strata, so that the priors of a group
do not outweigh its verdicts. Judged lines count as they are; for the others, the model predicts how many are good,
which is the finite-population correction.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

Z = 1.959964  # for a 95 % interval
LEAST_SHARED = 20  # lines judged by two reviewers; with fewer, their disagreements say too little
CHAINS, BURN_IN, DRAWS = 200, 40, 40  # for Gibbs sampling
ERROR_PRIOR = (1.0, 9.0)  # Beta: a reviewer errs in about a tenth of cases
PRIOR = 0.4  # Beta, for a share of good lines: weaker than Jeffreys' (0.5), as most shares are near 0 or 1
Votes = Mapping[str, bool]  # by reviewer: whether the line is right
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stratum:
    """Lines of which some were judged: their number, and the votes on each line that was judged.

    `right` is set if it is known for every line whether it is good, and is the number of good ones.
    """

    size: int
    votes: Sequence[Votes]
    right: int | None = None


@dataclass(frozen=True)
class Share:
    """A share of good lines with its 95 % interval; `judged` lines have votes, `right` of them a majority for good."""

    judged: int
    right: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """The share for each group, and how often each reviewer errs (None: unknown, and assumed to be never)."""

    shares: Mapping[str, Share]
    errors: Mapping[str, float] | None


def wilson(right: int, judged: int, size: int | None = None) -> tuple[float, float]:
    """Return the 95 % interval of Wilson (1927) for a share, with the correction for a population of `size`.

    The correction replaces the number of judged lines by judged * (size - 1) / (size - judged).
    """
    if not judged:
        return 0.0, 1.0
    share = right / judged
    if size is not None and size <= judged:
        return share, share
    n = judged if size is None else judged * (size - 1) / (size - judged)
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def krippendorff_alpha(lines: Sequence[Sequence[str]]) -> float | None:
    """Return Krippendorff's alpha for nominal data (Krippendorff 2011): 1 is agreement, 0 is agreement by chance.

    `lines` has the decisions on each line; lines with fewer than two do not count. None if alpha is undefined: no line
    has two decisions, or all decisions are the same.
    """
    pairable = [Counter(decisions) for decisions in lines if len(decisions) > 1]
    totals = sum(pairable, Counter[str]())
    whole = totals.total()
    expected = whole * whole - sum(count * count for count in totals.values())
    if not expected:
        return None
    observed = sum(
        (votes.total() ** 2 - sum(count * count for count in votes.values())) / (votes.total() - 1)
        for votes in pairable
    )
    return 1 - (whole - 1) * observed / expected


def estimate(groups: Mapping[str, Sequence[Stratum]]) -> Estimate:
    """Return for each group of strata the share of its lines that are good, from the votes on some of them.

    Groups without votes are left out. The result is always the same, because the sampling is seeded.
    """
    judged = {name: strata for name, strata in groups.items() if any(stratum.votes for stratum in strata)}
    if not judged:
        return Estimate({}, None)
    reviewers = sorted(
        {reviewer for strata in judged.values() for stratum in strata for votes in stratum.votes for reviewer in votes}
    )
    shared = sum(len(votes) > 1 for strata in judged.values() for stratum in strata for votes in stratum.votes)
    errors_known = shared >= LEAST_SHARED
    shares = {} if errors_known else {name: _plain(strata[0]) for name, strata in judged.items() if len(strata) == 1}
    names = [name for name in judged if name not in shares]
    if not names:
        return Estimate(shares, None)
    posterior, errors = _sample([judged[name] for name in names], reviewers, errs=errors_known)
    for name, draws in zip(names, posterior, strict=True):
        low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975])
        votes = [line_votes for stratum in judged[name] for line_votes in stratum.votes]
        shares[name] = Share(len(votes), sum(map(_is_right, votes)), float(middle), float(low), float(high))
    return Estimate(shares, dict(zip(reviewers, errors.tolist(), strict=True)) if errors_known else None)


def _plain(stratum: Stratum) -> Share:
    judged, right = len(stratum.votes), sum(map(_is_right, stratum.votes))
    return Share(judged, right, right / judged, *wilson(right, judged, stratum.size))


def _is_right(votes: Votes) -> bool:
    """Return whether most votes say that the line is good; a tie counts as not good."""
    return 2 * sum(votes.values()) > len(votes)


def _sample(
    groups: Sequence[Sequence[Stratum]], reviewers: Sequence[str], *, errs: bool
) -> tuple[list[Floats], Floats]:
    """Draw from the posterior: shares of good lines for each group, and the mean error of each reviewer."""
    rng = np.random.default_rng(0)
    index_of = {reviewer: number for number, reviewer in enumerate(reviewers)}
    strata = [stratum for group in groups for stratum in group]
    patterns = Counter(
        (number, tuple(sorted((index_of[name], vote) for name, vote in votes.items())))
        for number, stratum in enumerate(strata)
        for votes in stratum.votes
    )
    counts = np.array(list(patterns.values()))
    home = np.array([number for number, _ in patterns])
    signs = np.zeros((len(patterns), len(reviewers)))
    for row, (_, votes) in enumerate(patterns):
        for reviewer, vote in votes:
            signs[row, reviewer] = 1 if vote else -1
    of_stratum = (home[:, None] == np.arange(len(strata))).astype(float)  # (patterns, strata)
    prior = np.array([PRIOR / sqrt(len(group)) for group in groups for _ in group])
    sizes = np.array([max(stratum.size, len(stratum.votes)) for stratum in strata])
    certain = np.array([stratum.right is not None for stratum in strata])
    settled = np.array([stratum.right or 0 for stratum in strata])
    judged = counts @ of_stratum
    vote_counts = counts @ np.abs(signs)
    share = np.clip(((counts * (signs.sum(1) > 0)) @ of_stratum + 1) / (judged + 2), 0.02, 0.98) * np.ones((CHAINS, 1))
    error = np.full((CHAINS, len(reviewers)), 0.1 if errs else 0.0)
    ends = np.cumsum([len(group) for group in groups])
    posterior: list[list[Floats]] = [[] for _ in groups]
    errors = np.zeros(len(reviewers))
    for turn in range(BURN_IN + DRAWS):
        if errs:
            weight = np.log((1 - error) / error) @ signs.T
            odds = np.log(share / (1 - share))[:, home] + weight
            good = rng.binomial(counts, 1 / (1 + np.exp(-odds)))
            wrong = good @ (signs < 0) + (counts - good) @ (signs > 0)
            error = rng.beta(ERROR_PRIOR[0] + wrong, ERROR_PRIOR[1] + vote_counts - wrong).clip(1e-6, 0.49)
        else:  # the majority is right
            good = np.broadcast_to(counts * (signs.sum(1) > 0), (CHAINS, len(counts)))
        good_judged = good @ of_stratum
        share = rng.beta(prior + good_judged, prior + judged - good_judged).clip(1e-9, 1 - 1e-9)
        if turn < BURN_IN:
            continue
        good_total = np.where(certain, settled, good_judged + rng.binomial((sizes - judged).astype(np.int64), share))
        errors += error.mean(0) / DRAWS
        for number, end in enumerate(ends):
            columns = slice(end - len(groups[number]), end)
            # Spread counts over the width of a line, or intervals for few lines would be too wide.
            spread = rng.uniform(-0.5, 0.5, CHAINS) * (not certain[columns].all())
            posterior[number].append(np.clip((good_total[:, columns].sum(1) + spread) / sizes[columns].sum(), 0, 1))
    return [np.concatenate(draws) for draws in posterior], errors
