"""How good a release probably is before any label has come: an ESTIMATE from its own calibrated scores.

If a score that is calibrated says 0.3, three in ten such rows are True; so the expected number of hits, misses and
false alarms is known without a label, and every metric made of them. Sources: "Confidence-based performance
estimation" (CBPE), NannyML documentation, "How it works: estimating performance"; Guillory et al. 2021, "Predicting
with confidence on unseen distributions", ICCV.

It assumes that the model still reads rows as it did when it was calibrated: that what is asked may have changed, but
not the chance of True given the row (no concept drift). Nothing in an estimate can show that this has failed; only
labels can. So an estimate may be shown and may warn, and never is a release's quality.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from penstock.calibration import Calibration
from penstock.intervals import Z, midranks
from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np

ASSUMES = "no concept drift: the chance of True given the row is what it was on the test rows"
NAN = float("nan")
DRAWS = 100  # of labels for the standard error, which is then itself sure to 7 %


class Estimate(Value):
    """A metric that was estimated without labels. ``standard_error``: of what will be realised on these rows."""

    value: float
    standard_error: float
    rows: int
    kind: Literal["estimate"] = "estimate"
    assumes: str = ASSUMES

    @property
    def low(self) -> float:
        """The lower end of its 95 % interval."""
        return self.value - Z * self.standard_error

    @property
    def high(self) -> float:
        return self.value + Z * self.standard_error

    def __str__(self) -> str:
        return f"about {self.value:.4f} ± {Z * self.standard_error:.4f} (estimate, {self.assumes})"


def estimated(found: Mapping[str, Estimate], names: Collection[str]) -> str:
    """The estimates of these metrics in one line, with 95 % intervals, and what they assume."""
    known = {name: found[name] for name in names if name in found}
    shown = [f"{name} about {one.value:.4f} ± {Z * one.standard_error:.4f}" for name, one in known.items()]
    return f"{', '.join(shown)} (an estimate; it assumes {ASSUMES})"


def estimate(
    score: np.ndarray,
    decision: np.ndarray,
    calibration: Calibration,
    resamples: Sequence[Calibration] = (),
    seed: int = 7,
) -> dict[str, Estimate]:
    """AUC, accuracy, F1 and log loss that these answers probably have. Shapes (n,); a metric not defined is left out.

    The standard error has two parts: which labels come, given their probabilities, and how well these are known, from
    ``resamples`` (`calibration.fit_resamples`). Without them it has the first part only.
    """
    import numpy as np

    rows, chance = _Rows(score, decision), calibration(score)
    draws = np.random.default_rng(seed)
    drawn = [rows.realised(draws.random(len(chance)) < chance) for _ in range(DRAWS)]
    others = [rows.expected(other(score)) for other in resamples]

    def spread(found: list[dict[str, float]], name: str) -> float:
        values = [one[name] for one in found if np.isfinite(one[name])]
        return float(np.var(values, ddof=1)) if len(values) > 1 else 0.0

    return {
        name: Estimate(
            value=value,
            standard_error=float(np.sqrt(spread(drawn, name) + spread(others, name))),
            rows=len(score),
        )
        for name, value in rows.expected(chance).items()
        if np.isfinite(value)
    }


class _Rows:
    """What does not depend on the labels: the scores' order, and what each outcome would cost."""

    def __init__(self, score: np.ndarray, decision: np.ndarray) -> None:
        import numpy as np

        self.count, self.decision = len(score), decision
        clipped = np.clip(score.astype(np.float64), 1e-15, 1 - 1e-15)
        self.cost_true, self.cost_false = -np.log(clipped), -np.log1p(-clipped)
        values, self.place = np.unique(score, return_inverse=True)
        self.places = len(values)
        self.ranks = midranks(score)

    def expected(self, chance: np.ndarray) -> dict[str, float]:
        """The metrics with each row counted as True by its ``chance``, and as False by the rest."""
        return self._by_count(chance) | {"auc": self._auc(chance)}

    def realised(self, label: np.ndarray) -> dict[str, float]:
        """The metrics with these labels."""
        positives = int(label.sum())
        pairs = positives * (self.count - positives)
        ordered = float(self.ranks[label].sum()) - positives * (positives + 1) / 2
        return self._by_count(label.astype(float)) | {"auc": ordered / pairs if pairs else NAN}

    def _by_count(self, chance: np.ndarray) -> dict[str, float]:
        hits, called = float(chance[self.decision].sum()), int(self.decision.sum())
        rejected = float((1 - chance[~self.decision]).sum())
        some = float(chance.sum()) + called
        cost = float((chance * self.cost_true + (1 - chance) * self.cost_false).sum())
        return {
            "accuracy": (hits + rejected) / self.count if self.count else NAN,
            "f1": 2 * hits / some if some else NAN,
            "log_loss": cost / self.count if self.count else NAN,
        }

    def _auc(self, chance: np.ndarray) -> float:
        """Over all pairs of different rows: the chance that the first is True, the second False, and in order."""
        import numpy as np

        true = np.bincount(self.place, chance, self.places)
        false = np.bincount(self.place, 1 - chance, self.places)
        alone = float((chance * (1 - chance)).sum())  # a row makes no pair with itself
        below = np.cumsum(false) - false
        pairs = float(true.sum() * false.sum()) - alone
        return (float((true * (below + false / 2)).sum()) - alone / 2) / pairs if pairs > 0 else NAN
