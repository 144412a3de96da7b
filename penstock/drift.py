"""Whether a column of a window is distributed as in the training data. `compare()` is a pure function of two summaries.

A score beyond its limit is an alarm. The limit is the larger of two: what the config allows, and what chance alone
makes of two samples of these sizes, plus what the sketches may be off. So a small window is not drift because it is
small, and a huge one not because of a difference nobody would mind. `alpha` is divided by the number of all scores that
have a limit, over all columns (Bonferroni; Dunn 1961, "Multiple comparisons among means", JASA 56).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import FiniteFloat

from penstock.distances import (
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability_index,
    total_variation,
)
from penstock.levels import BINS, LEAST, binned, by_level, pooled, smoothed
from penstock.limits import ks_limit, mean_limit, psi_limit
from penstock.monitor_config import MonitorConfig
from penstock.refs import Value
from penstock.sketch import ColumnSummary

if TYPE_CHECKING:
    import numpy as np

FEW = int(BINS * LEAST)  # values under which a column is not judged: enough for every bin


class Score(Value):
    """One statistic. ``limit``: None where it is shown but not judged."""

    name: str  # "ks", "psi", "mean shift", "js", "hellinger", "tv"
    value: FiniteFloat
    limit: FiniteFloat | None = None

    @property
    def beyond(self) -> bool:
        return self.limit is not None and self.value > self.limit

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3f}, at most {self.limit:.3f}" if self.limit is not None else self.name


class ColumnDrift(Value):
    """One column beside its reference: ``n`` values in the window, ``m`` in the reference.

    ``type``: the reference's. ``scores``: none where nothing could be judged; ``reason`` says why, or what is beyond.
    """

    name: str
    type: str
    n: int
    m: int
    scores: tuple[Score, ...] = ()
    alarm: bool = False
    reason: str

    @property
    def judged(self) -> bool:
        return bool(self.scores)

    @property
    def worst(self) -> float:
        """The largest score in units of its limit: above 1 is an alarm. 0 where nothing was judged."""
        return max((score.value / score.limit for score in self.scores if score.limit), default=0.0)

    def score(self, name: str) -> float | None:
        return next((score.value for score in self.scores if score.name == name), None)


def compare(reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float) -> ColumnDrift:
    """The window's column beside the reference's, each score with chance ``alpha`` of a false alarm."""
    reason = unjudged(reference, window)
    if reason:
        return _drift(reference, window, (), reason)
    if reference.type == "number":
        return _drift(reference, window, _number_scores(reference, window, config, alpha))
    return _drift(reference, window, _category_scores(reference, window, config, alpha))


def compare_predictions(
    reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float, unit: float = 1.0
) -> ColumnDrift:
    """The same for predictions. The mean of probabilities and of numbers is judged too; ``unit``: what
    `max_prediction_shift` is a share of."""
    reason = unjudged(reference, window)
    if reason:
        return _drift(reference, window, (), reason)
    if reference.type != "number":
        return _drift(reference, window, _category_scores(reference, window, config, alpha))
    chance = mean_limit(window.numbers, window.deviation, reference.numbers, reference.deviation, alpha)
    shift = Score(
        name="mean shift",
        value=abs(window.mean - reference.mean),
        limit=max(config.max_prediction_shift * unit, chance),
    )
    return _drift(reference, window, (shift, *_number_scores(reference, window, config, alpha)))


def tests(reference: ColumnSummary) -> int:
    """How many scores of such a column have a limit."""
    return 2 if reference.type == "number" else 1


def unjudged(reference: ColumnSummary, window: ColumnSummary) -> str:
    """Why the two cannot be compared, or nothing."""
    if reference.type is None:
        return "the training data have no value of it"
    if reference.type == "other":
        return "neither numbers nor text"
    if window.type not in (None, reference.type):
        return f"{window.type} where training had {reference.type}"
    for what, summary in (("the window", window), ("the training data", reference)):
        if summary.values < FEW:
            return f"too few values in {what}: {summary.values:,}, at least {FEW} are needed"
    return ""


def _number_scores(
    reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float
) -> tuple[Score, ...]:
    n, m, noise = window.numbers, reference.numbers, window.rank_error + reference.rank_error
    chance = ks_limit(n, m, alpha) + noise
    ks = Score(name="ks", value=kolmogorov_smirnov(reference, window), limit=min(1.0, max(config.ks, chance)))
    return (ks, *_share_scores(*binned(reference, window), n, m, noise, config, alpha))


def _category_scores(
    reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float
) -> tuple[Score, ...]:
    return _share_scores(*by_level(reference, window), window.values, reference.values, 0.0, config, alpha)


def _share_scores(
    reference: np.ndarray, window: np.ndarray, n: int, m: int, noise: float, config: MonitorConfig, alpha: float
) -> tuple[Score, ...]:
    q, p = (smoothed(counts) for counts in pooled(reference, window))
    # sqrt(psi) is close to a distance, so chance and the sketches' error add up under the root
    sketched = float((noise**2 / q).sum())
    chance = (psi_limit(len(p), n, m, alpha) ** 0.5 + sketched**0.5) ** 2
    return (
        Score(name="psi", value=population_stability_index(p, q), limit=max(config.psi, chance)),
        Score(name="js", value=jensen_shannon(p, q)),
        Score(name="hellinger", value=hellinger(p, q)),
        Score(name="tv", value=total_variation(p, q)),
    )


def _drift(reference: ColumnSummary, window: ColumnSummary, scores: tuple[Score, ...], reason: str = "") -> ColumnDrift:
    beyond = [str(score) for score in scores if score.beyond]
    return ColumnDrift(
        name=reference.name,
        type=reference.type or "nothing",
        n=window.values,
        m=reference.values,
        scores=scores,
        alarm=bool(beyond),
        reason=reason or "; ".join(beyond) or "within its limits",
    )
