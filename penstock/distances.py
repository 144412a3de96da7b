"""How far apart two distributions are. Each is 0 for equal ones and finite; KS, JS, Hellinger and TV are at most 1.

Those of shares take two arrays of equal length, each adding up to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.sketch import ColumnSummary, shares

if TYPE_CHECKING:
    import numpy as np


def kolmogorov_smirnov(one: ColumnSummary, other: ColumnSummary) -> float:
    """The largest distance between the two columns' distribution functions, right at ties and between them.

    Off by at most the sum of the rank errors. Source: Smirnov 1939, "On the estimation of the discrepancy between
    empirical curves of distribution for two independent samples". Both columns have numbers.
    """
    import numpy as np

    at = np.union1d(one.points, other.points)
    pairs = zip(shares(one, at), shares(other, at), strict=True)
    return float(min(1.0, max(np.abs(mine - theirs).max() for mine, theirs in pairs)))


def population_stability_index(p: np.ndarray, q: np.ndarray) -> float:
    """The sum of (p - q) ln(p / q); every share must be positive. Symmetric.

    Source: Lewis 1994, "An Introduction to Credit Scoring"; it is the divergence J of Jeffreys 1946, "An invariant form
    for the prior probability in estimation problems".
    """
    import numpy as np

    return float(max(0.0, ((p - q) * np.log(p / q)).sum()))


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """The square root of the Jensen-Shannon divergence in bits: a metric.

    Sources: Lin 1991, "Divergence measures based on the Shannon entropy"; Endres & Schindelin 2003, "A new metric for
    probability distributions" (that the root is a metric).
    """
    middle = (p + q) / 2
    return float(min(1.0, max(0.0, (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2)) ** 0.5)


def hellinger(p: np.ndarray, q: np.ndarray) -> float:
    """The root of 1 - sum of sqrt(p q). Source: Hellinger 1909; van der Vaart 1998, "Asymptotic Statistics", 14.5."""
    import numpy as np

    return float(min(1.0, max(0.0, 1 - np.sqrt(p * q).sum())) ** 0.5)


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Half the sum of |p - q|: the share of rows that would have to change for the two to be equal.

    Source: Levin & Peres 2017, "Markov Chains and Mixing Times", chapter 4.
    """
    import numpy as np

    return float(min(1.0, np.abs(p - q).sum() / 2))


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    import numpy as np

    some = p > 0
    return float((p[some] * np.log2(p[some] / q[some])).sum())
