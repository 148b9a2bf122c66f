"""What verdicts say of lines that nobody judged, with which certainty. Pure.

One reviewer, one stratum: the interval of Wilson (1927) with the finite-population correction. Otherwise the model of
Dawid and Skene (1979) with one error rate a reviewer: a line is good or not, and a reviewer says the opposite of what
is true of it in a share of cases that is the same for good and bad lines. Where reviewers share lines, their
disagreements say how large that share is. The interval is the equal-tailed one of the posterior, by Gibbs sampling,
with a prior near Jeffreys', which is weaker for a stratum of several, so that a group's priors do not outweigh its
verdicts. Lines that were judged count as they are, and of those that were not the model predicts how many are good,
which is the correction for finite populations.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

Z = 1.959964  # of an interval of 95 %
LEAST_SHARED = 20  # lines that two reviewers have judged, below which their disagreements say too little
CHAINS, BURN_IN, DRAWS = 200, 40, 40  # of Gibbs sampling
ERROR_PRIOR = (1.0, 9.0)  # Beta: a reviewer errs in a tenth of cases, more or less
PRIOR = 0.4  # Beta, of a share of good lines: a little weaker than Jeffreys' (0.5), as most shares are near 0 or 1
Votes = Mapping[str, bool]  # by reviewer: whether the line is right
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stratum:
    """Lines of which some were judged: how many there are, and the votes on each of those judged.

    `right` is set where it is known of all of them, and says how many are good.
    """

    size: int
    votes: Sequence[Votes]
    right: int | None = None


@dataclass(frozen=True)
class Share:
    """A share of good lines with its interval of 95 %; `judged` lines have a vote, `right` of them a majority."""

    judged: int
    right: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """The share of each group, and how often each reviewer errs (None: not known, and taken for never)."""

    shares: Mapping[str, Share]
    errors: Mapping[str, float] | None


def wilson(right: int, judged: int, size: int | None = None) -> tuple[float, float]:
    """Return the interval of Wilson (1927) at 95 % for a share, with the correction for a population of `size`.

    The correction puts judged * (size - 1) / (size - judged) in the place of the number of lines judged.
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
    """Return Krippendorff's alpha for nominal data (Krippendorff 2011): 1 is agreement, 0 what chance gives.

    `lines` has the decisions on each line; those with fewer than two say nothing. None where alpha is not defined: no
    line has two decisions, or all decisions are the same.
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
    """Return for each group of strata the share of its lines that are good, by the votes on some of them.

    Groups without a vote are left out. The result is the same each time: the sampling is seeded.
    """
    judged = {name: strata for name, strata in groups.items() if any(stratum.votes for stratum in strata)}
    if not judged:
        return Estimate({}, None)
    reviewers = sorted(
        {reviewer for strata in judged.values() for each in strata for v in each.votes for reviewer in v}
    )
    shared = sum(len(votes) > 1 for strata in judged.values() for each in strata for votes in each.votes)
    known = shared >= LEAST_SHARED
    shares = {} if known else {name: _plain(strata[0]) for name, strata in judged.items() if len(strata) == 1}
    names = [name for name in judged if name not in shares]
    if not names:
        return Estimate(shares, None)
    posterior, errors = _sample([judged[name] for name in names], reviewers, errs=known)
    for name, draws in zip(names, posterior, strict=True):
        low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975])
        votes = [each for stratum in judged[name] for each in stratum.votes]
        shares[name] = Share(len(votes), sum(map(_is_right, votes)), float(middle), float(low), float(high))
    return Estimate(shares, dict(zip(reviewers, errors.tolist(), strict=True)) if known else None)


def _plain(stratum: Stratum) -> Share:
    judged, right = len(stratum.votes), sum(map(_is_right, stratum.votes))
    return Share(judged, right, right / judged, *wilson(right, judged, stratum.size))


def _is_right(votes: Votes) -> bool:
    """Return what most say; where as many say the one as the other, that it is not good."""
    return 2 * sum(votes.values()) > len(votes)


def _sample(
    groups: Sequence[Sequence[Stratum]], reviewers: Sequence[str], *, errs: bool
) -> tuple[list[Floats], Floats]:
    """Draw from the posterior: for each group shares of good lines, and the mean error of each reviewer."""
    random = np.random.default_rng(0)
    place = {reviewer: number for number, reviewer in enumerate(reviewers)}
    strata = [stratum for group in groups for stratum in group]
    patterns = Counter(
        (number, tuple(sorted((place[name], vote) for name, vote in votes.items())))
        for number, stratum in enumerate(strata)
        for votes in stratum.votes
    )
    counts = np.array(list(patterns.values()))
    home = np.array([number for number, _ in patterns])
    signs = np.zeros((len(patterns), len(reviewers)))
    for row, (_, votes) in enumerate(patterns):
        for reviewer, vote in votes:
            signs[row, reviewer] = 1 if vote else -1
    of_stratum = (home[:, None] == np.arange(len(strata))).astype(float)  # pattern, stratum
    prior = np.array([PRIOR / sqrt(len(group)) for group in groups for _ in group])
    sizes = np.array([max(stratum.size, len(stratum.votes)) for stratum in strata])
    certain = np.array([stratum.right is not None for stratum in strata])
    settled = np.array([stratum.right or 0 for stratum in strata])
    judged = counts @ of_stratum
    said = counts @ np.abs(signs)
    share = np.clip(((counts * (signs.sum(1) > 0)) @ of_stratum + 1) / (judged + 2), 0.02, 0.98) * np.ones((CHAINS, 1))
    error = np.full((CHAINS, len(reviewers)), 0.1 if errs else 0.0)
    ends = np.cumsum([len(group) for group in groups])
    posterior: list[list[Floats]] = [[] for _ in groups]
    errors = np.zeros(len(reviewers))
    for turn in range(BURN_IN + DRAWS):
        if errs:
            weight = np.log((1 - error) / error) @ signs.T
            odds = np.log(share / (1 - share))[:, home] + weight
            good = random.binomial(counts, 1 / (1 + np.exp(-odds)))
            wrong = good @ (signs < 0) + (counts - good) @ (signs > 0)
            error = random.beta(ERROR_PRIOR[0] + wrong, ERROR_PRIOR[1] + said - wrong).clip(1e-6, 0.49)
        else:  # what most say is true
            good = np.broadcast_to(counts * (signs.sum(1) > 0), (CHAINS, len(counts)))
        found = good @ of_stratum
        share = random.beta(prior + found, prior + judged - found).clip(1e-9, 1 - 1e-9)
        if turn < BURN_IN:
            continue
        whole = np.where(certain, settled, found + random.binomial((sizes - judged).astype(np.int64), share))
        errors += error.mean(0) / DRAWS
        for number, end in enumerate(ends):
            mine = slice(end - len(groups[number]), end)
            # The width of a line, or intervals for few lines would be wider than need be.
            spread = random.uniform(-0.5, 0.5, CHAINS) * (not certain[mine].all())
            posterior[number].append(np.clip((whole[:, mine].sum(1) + spread) / sizes[mine].sum(), 0, 1))
    return [np.concatenate(each) for each in posterior], errors
