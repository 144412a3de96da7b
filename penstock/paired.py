"""How much worse a candidate is than the champion, and how sure that is: both scored on the same rows.

The rows are drawn again many times, the same rows for both, so that what makes a row hard cancels out. The spread of
the loss over the draws is its standard error (the paired bootstrap: Efron & Tibshirani 1993, An Introduction to the
Bootstrap, chapters 6 and 12: the standard interval).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np

    from penstock.weighted_metrics import Statistic

AT_ONCE = 16  # draws of one generator
MOST = 2_000_000  # weights of one thread that are held at once, 16 MB: of many rows those of fewer draws, or of one
DEFINED = 0.95  # of the draws must have a value, or there is no standard error


class Loss(Value):
    """By how much the candidate is worse in ``metric`` (negative: better), and the standard error of that.

    ``column`` and ``value`` name a slice; both are empty for all rows. ``loss`` and ``error`` are None where the
    metric is not defined, such as AUC of one class.
    """

    metric: str
    rows: int
    loss: float | None
    error: float | None
    column: str = ""
    value: str = ""

    def above(self, margin: float) -> float:
        """The p-value of "the loss is above ``margin``" against "it is not"; 1 where nothing is known."""
        return 1.0 if self.loss is None or self.error is None else 1 - _chance(margin, self.loss, self.error)

    def within(self, margin: float) -> float:
        """The p-value of "the loss is within ``margin``" against "it is above"; 1 where nothing is known."""
        return 1.0 if self.loss is None or self.error is None else _chance(margin, self.loss, self.error)

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Two one-sided limits of the loss, each right with the probability ``confidence``."""
        if self.loss is None or self.error is None:
            return None
        half = NormalDist().inv_cdf(confidence) * self.error
        return self.loss - half, self.loss + half

    def rows_needed(self, margin: float, confidence: float) -> int | None:
        """About how many rows would show a loss like this one to be within ``margin``; None if no number would."""
        if self.loss is None or self.error is None or self.loss >= margin:
            return None
        return math.ceil(self.rows * (NormalDist().inv_cdf(confidence) * self.error / (margin - self.loss)) ** 2)


class Losses(Value):
    """What was found between two models, from ``resamples`` samples of their rows."""

    losses: tuple[Loss, ...]
    resamples: int

    def __str__(self) -> str:
        sliced = sum(bool(loss.column) for loss in self.losses)
        overall = len(self.losses) - sliced
        plural = "" if overall == 1 else "s"
        return f"{overall} difference{plural}, {sliced} in slices, {self.resamples:,} resamples"


@dataclass(frozen=True)
class Question:
    """A metric of both models over ``at``: the rows of a slice, or None for all."""

    metric: str
    lower_is_better: bool
    candidate: Statistic
    champion: Statistic
    at: np.ndarray | None = None
    column: str = ""
    value: str = ""


def losses(questions: Sequence[Question], rows: int, draws: int, seed: int, threads: int = 1) -> list[Loss]:
    """The loss of each question over ``rows`` rows, with the standard error over ``draws`` resamples.

    Deterministic for a seed and numpy's version, whatever ``threads`` is.
    """
    import numpy as np

    def found(start: int, source: np.random.SeedSequence) -> np.ndarray:
        generator = np.random.default_rng(source)
        wanted = min(AT_ONCE, draws - start)
        weights = np.empty((min(wanted, max(1, MOST // rows)), rows))
        parts = []
        for at in range(0, wanted, len(weights)):
            held = weights[: wanted - at]
            for drawn in held:
                drawn[:] = np.bincount(generator.integers(0, rows, rows, dtype=np.uint32), minlength=rows)
            parts.append(_values(questions, held))
        return np.concatenate(parts, axis=1)

    starts = range(0, draws, AT_ONCE)
    with ThreadPoolExecutor(threads) as pool:  # numpy lets go of the interpreter
        values = np.concatenate([*pool.map(found, starts, np.random.SeedSequence(seed).spawn(len(starts)))], axis=1)
    once = _values(questions, np.ones((1, rows)))[:, 0]
    return [
        _summary(question, float(loss), spread, rows)
        for question, loss, spread in zip(questions, once, values, strict=True)
    ]


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which of many hypotheses are refuted, with a chance of at most ``alpha`` that any of them is so wrongly.

    Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.
    """
    refuted = [False] * len(p_values)
    for step, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[at] > alpha / (len(p_values) - step):
            break
        refuted[at] = True
    return refuted


def _values(questions: Sequence[Question], weights: np.ndarray) -> np.ndarray:
    """The loss of each question in each draw, shape (questions, draws)."""
    import numpy as np

    values = np.empty((len(questions), len(weights)))
    parts: dict[int, list[tuple[Question, np.ndarray]]] = {}
    for question, row in zip(questions, values, strict=True):
        parts.setdefault(id(question.at), []).append((question, row))
    for group in parts.values():  # the rows of a slice are taken out once for all its metrics
        at = group[0][0].at
        mine = weights if at is None else np.take(weights, at, axis=1)
        for question, row in group:
            difference = question.champion(mine) - question.candidate(mine)
            row[:] = -difference if question.lower_is_better else difference
    return values


def _summary(question: Question, loss: float, values: np.ndarray, rows: int) -> Loss:
    import numpy as np

    defined = values[np.isfinite(values)]
    known = math.isfinite(loss) and len(defined) >= DEFINED * len(values) and len(defined) > 1
    return Loss(
        metric=question.metric,
        rows=rows if question.at is None else len(question.at),
        loss=loss if known else None,
        error=float(defined.std(ddof=1)) if known else None,
        column=question.column,
        value=question.value,
    )


def _chance(margin: float, loss: float, error: float) -> float:
    """The normal's share below ``margin``, around ``loss``; all or none of it where nothing varies."""
    if error == 0:
        return 1.0 if loss <= margin else 0.0
    return NormalDist(loss, error).cdf(margin)
