"""What chance alone makes of two samples of one distribution: the values that a statistic exceeds with chance alpha.

Rows are taken as independent. Rows of one hour share their weather: windows much shorter than what changes in them
differ from the training data really, not by chance.
"""

from __future__ import annotations

import math
from statistics import NormalDist

Interval = tuple[float, float]


def ks_limit(n: int, m: int, alpha: float) -> float:
    """Of the Kolmogorov-Smirnov distance of samples of ``n`` and ``m``: sqrt(ln(2 / alpha) / 2 * (1/n + 1/m)).

    Sources: Massart 1990, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality"; Wei & Dudley 2012,
    "Two-sample Dvoretzky-Kiefer-Wolfowitz inequalities" (for two samples, from about 458 values). Conservative where
    values repeat.
    """
    return min(1.0, math.sqrt(math.log(2 / alpha) / 2 * (1 / n + 1 / m)))


def psi_limit(levels: int, n: int, m: int, alpha: float) -> float:
    """Of the population stability index over ``levels`` bins or categories: chi-squared times (1/n + 1/m).

    Source: Yurdakul & Naranjo 2020, "Statistical properties of the population stability index", Journal of Risk Model
    Validation 14(4). Holds where every level is expected at least about five times in each sample.
    """
    return chi_squared(levels - 1, alpha) * (1 / n + 1 / m) if levels > 1 else 0.0


def chi_squared(freedom: int, alpha: float) -> float:
    """What a chi-squared variable exceeds with chance ``alpha``.

    Source: Wilson & Hilferty 1931, "The distribution of chi-square". In the tail it is up to a few percent too large
    (7 % at one degree of freedom and alpha = 1e-4), which is the safe side.
    """
    spread = 2 / (9 * freedom)
    return freedom * float(1 - spread + normal(alpha) * math.sqrt(spread)) ** 3


def mean_limit(n: int, deviation: float, m: int, other_deviation: float, alpha: float) -> float:
    """Of the distance between two samples' means, with their standard deviations.

    Source: Welch 1938, "The significance of the difference between two means when the population variances are
    unequal", with the normal distribution, which at hundreds of values is Student's.
    """
    return normal(alpha / 2) * math.sqrt(deviation**2 / n + other_deviation**2 / m)


def share_interval(found: float, n: int, alpha: float) -> Interval:
    """Where the share behind ``found`` in ``n`` is; (0, 1) at n = 0.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if n <= 0:
        return 0.0, 1.0
    z, rate = normal(alpha / 2), found / n
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # at 0 and at n an end is the share itself, up to rounding
    return (max(0.0, middle - half) if found > 0 else 0.0), (min(1.0, middle + half) if found < n else 1.0)


def difference_interval(found: float, n: int, other: float, m: int, alpha: float) -> Interval:
    """Where the difference of two shares is, found/n - other/m.

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions: comparison of
    eleven methods", method 10.
    """
    (low, high), (other_low, other_high) = share_interval(found, n, alpha), share_interval(other, m, alpha)
    rate, other_rate = (found / n if n else 0.5), (other / m if m else 0.5)
    difference = rate - other_rate
    lower = difference - math.hypot(rate - low, other_high - other_rate)
    upper = difference + math.hypot(high - rate, other_rate - other_low)
    return max(-1.0, lower), min(1.0, upper)


def normal(alpha: float) -> float:
    """What a standard normal variable exceeds with chance ``alpha``."""
    return -NormalDist().inv_cdf(alpha)
