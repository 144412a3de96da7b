"""Whether a column of a window is distributed as in the training data. `compare()` is a pure function of two summaries.

A score beyond its limit is an alarm. The limit is the larger of two: what the config allows, and what chance alone
makes of two samples of these sizes, plus what the sketches may be off. So a small window is not drift because it is
small, and a huge one not because of a difference nobody would mind. `alpha` is divided by the number of all scores that
have a limit, over all columns (Bonferroni; Dunn 1961, "Multiple comparisons among means", JASA 56).

The scores of shares are over the deciles of the training data, or over categories. Levels expected fewer than `LEAST`
times in either sample are one (Cochran 1954, "Some methods for strengthening the common chi-squared tests"), and half a
value is added to each (Krichevsky & Trofimov 1981), so that a category that has gone or come is no division by 0.
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
from penstock.limits import ks_limit, mean_limit, psi_limit
from penstock.monitor_config import MonitorConfig
from penstock.refs import Value
from penstock.sketch import ColumnSummary, shares

if TYPE_CHECKING:
    import numpy as np

BINS = 10
LEAST = 5.0
FEW = 50  # values under which a column is not judged: LEAST in each bin


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
    reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float
) -> ColumnDrift:
    """The same for probabilities, whose mean is judged too."""
    reason = unjudged(reference, window)
    if reason:
        return _drift(reference, window, (), reason)
    chance = mean_limit(window.numbers, window.deviation, reference.numbers, reference.deviation, alpha)
    shift = Score(
        name="mean shift",
        value=abs(window.mean - reference.mean),
        limit=max(config.max_prediction_shift, chance),
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


def binned(reference: ColumnSummary, window: ColumnSummary) -> tuple[np.ndarray, np.ndarray]:
    """Counts of both in the bins between the reference's deciles; where values repeat, there are fewer bins."""
    import numpy as np

    upto = np.array(reference.upto)
    at = np.searchsorted(upto, np.arange(1, BINS) / BINS - 1e-12)  # the least value that has this share up to it
    edges = np.array(reference.points)[np.unique(at)]
    return _in_bins(reference, edges), _in_bins(window, edges)


def by_level(reference: ColumnSummary, window: ColumnSummary) -> tuple[np.ndarray, np.ndarray]:
    """Counts of both for every category of either; the last is that of all unlisted ones."""
    import numpy as np

    mine, theirs = dict(reference.levels), dict(window.levels)
    names = sorted(mine.keys() | theirs.keys())
    counts = [[found.get(name, 0) for name in names] for found in (mine, theirs)]
    return tuple(  # type: ignore[return-value]
        np.array([*one, summary.unlisted], float) for one, summary in zip(counts, (reference, window), strict=True)
    )


def pooled(reference: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The counts with all rare levels as one, so that both samples expect `LEAST` of each."""
    import numpy as np

    both = reference + window
    expected = both * min(reference.sum(), window.sum()) / both.sum()
    order = np.argsort(-expected, kind="stable")
    kept = int((expected >= LEAST).sum())
    while kept < len(order) and kept > 1 and 0 < expected[order[kept:]].sum() < LEAST:
        kept -= 1  # the rare ones together are still too rare: the rarest of the others joins them
    some, rest = order[:kept], order[kept:]
    return tuple(  # type: ignore[return-value]
        np.append(one[some], one[rest].sum()) if both[rest].sum() > 0 else one[some] for one in (reference, window)
    )


def _number_scores(
    reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float
) -> tuple[Score, ...]:
    n, m, noise = window.numbers, reference.numbers, window.rank_error + reference.rank_error
    chance = ks_limit(n, m, alpha) + noise
    ks = Score(
        name="ks", value=kolmogorov_smirnov(reference, window), limit=min(1.0, max(config.ks, chance))
    )
    return (ks, *_share_scores(*binned(reference, window), n, m, noise, config, alpha))


def _category_scores(
    reference: ColumnSummary, window: ColumnSummary, config: MonitorConfig, alpha: float
) -> tuple[Score, ...]:
    return _share_scores(*by_level(reference, window), window.values, reference.values, 0.0, config, alpha)


def _share_scores(
    reference: np.ndarray, window: np.ndarray, n: int, m: int, noise: float, config: MonitorConfig, alpha: float
) -> tuple[Score, ...]:
    q, p = (_smooth(counts) for counts in pooled(reference, window))
    # sqrt(psi) is close to a distance, so chance and the sketches' error add up under the root
    sketched = float((noise**2 / q).sum())
    chance = (psi_limit(len(p), n, m, alpha) ** 0.5 + sketched**0.5) ** 2
    return (
        Score(name="psi", value=population_stability_index(p, q), limit=max(config.psi, chance)),
        Score(name="js", value=jensen_shannon(p, q)),
        Score(name="hellinger", value=hellinger(p, q)),
        Score(name="tv", value=total_variation(p, q)),
    )


def _in_bins(summary: ColumnSummary, edges: np.ndarray) -> np.ndarray:
    import numpy as np

    _, upto = shares(summary, edges)
    return np.diff(upto, prepend=0.0, append=1.0).clip(0, 1) * summary.numbers


def _smooth(counts: np.ndarray) -> np.ndarray:
    return (counts + 0.5) / (counts.sum() + 0.5 * len(counts))  # type: ignore[no-any-return]


def _drift(
    reference: ColumnSummary, window: ColumnSummary, scores: tuple[Score, ...], reason: str = ""
) -> ColumnDrift:
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
