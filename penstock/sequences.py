"""Confidence sequences: intervals that stay valid however often one looks, and whenever one stops.

A usual interval is right with probability 1 - alpha at one sample size fixed beforehand; looked at after every request
it is wrong sooner or later. These are right at all sizes at once: the chance that the interval *ever* leaves out the
true value is at most alpha (Ville 1939: a nonnegative martingale that starts at 1 ever reaches 1/alpha with
probability at most alpha). None of them is asymptotic. Only sufficient statistics are needed, never the rows.

An "evidence" is the natural logarithm of such a martingale: at `log(1/alpha)` the hypothesis is excluded at alpha.
Shares and alphas are fractions of 1. Counts may be fractional, for the sake of forecasts. Nothing is raised for counts
that are consistent (0 <= bad <= n, |total| <= n, squares <= n), and `math` is all that is imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Interval = tuple[float, float]

EVEN = (0.5, 0.5)  # Beta prior of a share: Jeffreys' (Krichevsky & Trofimov 1981), near the best for any share
MOSTLY_RIGHT = (0.5, 9.5)  # ... of the other arm, which is expected to do well. A prior tunes power, never validity
# Bets as a fraction of the largest one allowed: small ones for many rows, large ones for few.
BETS = tuple(1 / (1 + math.exp(-step / 2)) for step in range(-14, 7))
_COSTS = tuple(-math.log1p(-bet) - bet for bet in BETS)
_EDGE = 0.002  # a mean within this of its extreme is not told from the extreme
_RINGS = 40  # points at which the bound of a mean is looked for, from the outside in
_HALVINGS = 48
_FOREVER = 10**9  # more requests than this are never


def proportion_interval(bad: float, n: float, alpha: float) -> Interval:
    """The share of ``bad`` in ``n`` independent trials, (lower, upper); (0, 1) at n = 0.

    Mixture of likelihood ratios over a Beta(1/2, 1/2) prior. Source: Robbins 1970, "Statistical methods related to the
    law of the iterated logarithm"; Howard, Ramdas, McAuliffe & Sekhon 2021, "Time-uniform, nonparametric,
    nonasymptotic confidence sequences", Annals of Statistics 49(2).
    """
    if n <= 0:
        return 0.0, 1.0
    needed, rate = -math.log(alpha), bad / n

    def excluded(share: float) -> bool:
        return _share_evidence(bad, n, share) >= needed

    lower = _edge(excluded, 0.0, rate) if bad > 0 else 0.0
    upper = _edge(excluded, 1.0, rate) if bad < n else 1.0
    return lower, upper


def evidence_above(bad: float, n: float, limit: float) -> float:
    """Evidence that the share is above ``limit``, against every share up to it; same martingale and source."""
    if n <= 0 or bad <= 0:
        return 0.0
    return _share_evidence(bad, n, min(limit, bad / n))


def evidence_worse(bad: float, n: float, other_bad: float, other_n: float) -> float:
    """Evidence that one arm's share of ``bad`` is above the other arm's, however the trials were dealt out.

    Each arm's likelihood under a Beta mixture, over the largest likelihood at which the arm is not worse. Source:
    Wasserman, Ramdas & Balakrishnan 2020, "Universal inference", PNAS 117(29), section 8 (the sequential case).
    """
    mixed = _log_mixture(bad, n, EVEN) + _log_mixture(other_bad, other_n, MOSTLY_RIGHT)
    if n > 0 and other_n > 0 and bad * other_n > other_bad * n:  # the best of the null is one common share
        return mixed - _log_likelihood(bad + other_bad, n + other_n, (bad + other_bad) / (n + other_n))
    own = _log_likelihood(bad, n, bad / n) if n > 0 else 0.0
    other = _log_likelihood(other_bad, other_n, other_bad / other_n) if other_n > 0 else 0.0
    return mixed - own - other


def mean_interval(n: float, total: float, squares: float, alpha: float) -> Interval:
    """The mean of ``n`` values in [-1, 1] with sum ``total`` and sum of squares ``squares``; (-1, 1) at n = 0.

    An empirical-Bernstein sequence: as wide as the values' spread makes it, plus about log(1/alpha) / n. alpha is
    halved between the two sides. Sources: see `evidence_mean_above`.
    """
    if n <= 0:
        return -1.0, 1.0
    return _mean_lower(n, total, squares, alpha / 2), -_mean_lower(n, -total, squares, alpha / 2)


def evidence_mean_above(n: float, total: float, squares: float, limit: float) -> float:
    """Evidence that the mean of values in [-1, 1] is above ``limit``, against every mean up to it.

    With y = (x - limit) / (1 + limit) >= -1 and 0 <= b < 1: exp(b y + (log(1 - b) + b) y^2) <= 1 + b y, whose mean is
    at most 1 when the mean of x is at most the limit; the product over rows needs the two sums only. Mixed over a
    fixed grid of b. Sources: Fan, Grama & Liu 2015, "Exponential inequalities for martingales with applications",
    Electronic Journal of Probability 20 (the inequality); Howard et al. 2021, theorem 4; Waudby-Smith & Ramdas 2024,
    "Estimating means of bounded random variables by betting", JRSS B 86(1).
    """
    if n <= 0 or limit <= -1:
        return 0.0
    width = 1 + limit
    first = (total - n * limit) / width
    second = max(squares - 2 * limit * total + n * limit * limit, 0.0) / (width * width)
    logs = [bet * first - cost * second for bet, cost in zip(BETS, _COSTS, strict=True)]
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs) / len(logs))


def more_for_proportion(bad: float, n: float, limit: float, alpha: float) -> int | None:
    """Trials still needed for the share to be told from ``limit`` if it stays as it is; None: never (or 10^9).

    Nothing seen counts as nothing bad.
    """
    rate = bad / n if n > 0 else 0.0
    return _more(n, lambda size: rate != limit and _share_evidence(rate * size, size, limit) >= -math.log(alpha))


def more_for_worse(bad: float, n: float, other_bad: float, other_n: float, alpha: float) -> int | None:
    """Trials still needed for one arm to be told worse than the other if both go on as they do; None: never."""
    if n <= 0:
        return None

    def told(size: float) -> bool:
        grown = size / n
        return evidence_worse(bad * grown, size, other_bad * grown, other_n * grown) >= -math.log(alpha)

    return _more(n, told)


def more_for_mean(n: float, total: float, squares: float, limit: float, alpha: float) -> int | None:
    """Rows still needed for the mean to be told from ``limit`` if its statistics stay as they are; None: never."""
    if n <= 0:
        return None
    side = 1 if total / n > limit else -1
    mean, square = side * total / n, squares / n

    def told(size: float) -> bool:
        return evidence_mean_above(size, mean * size, square * size, side * limit) >= -math.log(alpha / 2)

    return _more(n, told)


def _mean_lower(n: float, total: float, squares: float, alpha: float) -> float:
    """The lowest mean that is not excluded. From the outside in: far from the data, exclusion need not be monotone."""
    needed, reach = -math.log(alpha), 1 + total / n
    if reach <= _EDGE:
        return -1.0

    def excluded(mean: float) -> bool:
        return evidence_mean_above(n, total, squares, mean) >= needed

    # A mean below the edge is judged by the test at the edge, which holds against every mean up to it.
    outer = _EDGE - 1
    if not excluded(outer):
        return -1.0
    for ring in range(1, _RINGS + 1):
        inner = _EDGE * (reach / _EDGE) ** (ring / _RINGS) - 1
        if not excluded(inner):
            return _edge(excluded, outer, inner)
        outer = inner
    return outer


def _share_evidence(bad: float, n: float, share: float) -> float:
    return _log_mixture(bad, n, EVEN) - _log_likelihood(bad, n, share)


def _log_mixture(bad: float, n: float, prior: tuple[float, float]) -> float:
    first, second = prior
    return _log_beta(bad + first, n - bad + second) - _log_beta(first, second)


def _log_beta(first: float, second: float) -> float:
    return math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)


def _log_likelihood(bad: float, n: float, share: float) -> float:
    if (bad > 0 and share <= 0) or (bad < n and share >= 1):
        return -math.inf
    return (bad * math.log(share) if bad > 0 else 0.0) + ((n - bad) * math.log1p(-share) if bad < n else 0.0)


def _edge(excluded: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where exclusion ends between an excluded and an allowed value; the excluded side, so that it errs outwards."""
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        if excluded(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _more(n: float, told: Callable[[float], bool]) -> int | None:
    if n > 0 and told(n):
        return 0
    low = max(int(n), 0)
    high = max(low * 2, 16)
    while not told(high):
        low, high = high, high * 2
        if high > _FOREVER:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if told(middle) else (middle, high)
    return high - max(int(n), 0)
