"""Confidence intervals of metrics of binary classification, at one fixed number of rows. Arrays have shape (n,).

They take rows for independent. Many predictions about one customer, or one storm that delays a day's flights, are not:
then intervals are too narrow, and a day's worth of rows tells less than its count says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np

Z = 1.959963984540054  # the normal's 97.5 % point: all intervals are of 95 %


class Measured(Value):
    """A metric's value and its 95 % interval, and by which method."""

    value: float
    low: float
    high: float
    method: str

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def wilson(hits: int, n: int) -> Measured | None:
    """A share; None of nothing. Source: Wilson 1927, "Probable inference", JASA 22; Brown, Cai & DasGupta 2001."""
    if n == 0:
        return None
    share, square = hits / n, Z * Z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = Z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    low = 0.0 if hits == 0 else middle - half
    return Measured(value=share, low=low, high=1.0 if hits == n else middle + half, method="Wilson")


def f1_interval(hits: int, false_alarms: int, misses: int) -> Measured | None:
    """F1, by Wilson's interval of the share J of hits among all that was called or true: F1 = 2J / (1 + J), which
    rises with J, so the interval's ends go through it. Given how many rows that are, J is a proportion."""
    share = wilson(hits, hits + false_alarms + misses)
    if share is None:
        return None
    value, low, high = (2 * j / (1 + j) for j in (share.value, share.low, share.high))
    return Measured(value=value, low=low, high=high, method="Wilson, through F1 = 2J / (1 + J)")


def mean_interval(values: np.ndarray) -> Measured | None:
    """The mean of values of any size, by the central limit theorem; None of fewer than two."""
    if len(values) < 2:
        return None
    mean, half = float(values.mean()), Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Measured(value=mean, low=max(mean - half, 0.0), high=mean + half, method="normal")


def auc_interval(label: np.ndarray, score: np.ndarray) -> Measured | None:
    """The area under the ROC curve; None with fewer than two rows of a class.

    Variance: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, by the midranks of Sun & Xu 2014, IEEE Signal
    Processing Letters 21. Taken on the scale of the log-odds (Pepe 2003), so that it stays within 0 and 1. Where the
    variance is 0 (all pairs in order) it is Wilson's, of as many trials as the rarer class has rows.
    """
    import numpy as np

    positive, negative = score[label], score[~label]
    m, n = len(positive), len(negative)
    if min(m, n) < 2:
        return None
    ranks = midranks(np.concatenate([positive, negative]))
    over = (ranks[:m] - midranks(positive)) / n  # share of negatives below each positive
    under = 1 - (ranks[m:] - midranks(negative)) / m  # share of positives above each negative
    auc = float(over.mean())
    error = math.sqrt(float(over.var(ddof=1)) / m + float(under.var(ddof=1)) / n)
    if error == 0 or not 0 < auc < 1:
        trials = min(m, n)
        bound = wilson(round(auc * trials), trials)
        assert bound is not None
        return Measured(value=auc, low=min(bound.low, auc), high=max(bound.high, auc), method="Wilson: no variance")
    odds, half = math.log(auc / (1 - auc)), Z * error / (auc * (1 - auc))
    return Measured(value=auc, low=_expit(odds - half), high=_expit(odds + half), method="DeLong, log-odds")


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    import numpy as np

    _, at, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[at], dtype=np.float64)


def _expit(odds: float) -> float:
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))
