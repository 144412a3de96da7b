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

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from penstock.calibration import Calibration
from penstock.intervals import midranks
from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np

ASSUMES = "no concept drift: the chance of True given the row is what it was on the test rows"
DRAWS = 100  # of labels for the standard error, which is then itself sure to 7 %


class Estimate(Value):
    """A metric that was estimated without labels. ``standard_error``: of what will be realised on these rows."""

    value: float
    standard_error: float
    rows: int
    kind: Literal["estimate"] = "estimate"
    assumes: str = ASSUMES

    def __str__(self) -> str:
        return f"about {self.value:.4f} ± {1.96 * self.standard_error:.4f} (estimate, {self.assumes})"


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

    chance = calibration(score)
    expected = _expected(chance, score, decision)
    draws = np.random.default_rng(seed)
    labels = [_realised(draws.random(len(chance)) < chance, score, decision) for _ in range(DRAWS)]
    others = [_expected(other(score), score, decision) for other in resamples]

    def spread(found: list[dict[str, float]], name: str) -> float:
        values = [one[name] for one in found if np.isfinite(one[name])]
        return float(np.var(values, ddof=1)) if len(values) > 1 else 0.0

    return {
        name: Estimate(
            value=value,
            standard_error=float(np.sqrt(spread(labels, name) + spread(others, name))),
            rows=len(score),
        )
        for name, value in expected.items()
        if np.isfinite(value)
    }


def _expected(chance: np.ndarray, score: np.ndarray, decision: np.ndarray) -> dict[str, float]:
    """The metrics with each row counted as True by its chance and as False by the rest."""
    hits, called, positives = float(chance[decision].sum()), int(decision.sum()), float(chance.sum())
    return {
        "auc": _expected_auc(chance, score),
        "accuracy": (hits + float((1 - chance[~decision]).sum())) / len(chance) if len(chance) else float("nan"),
        "f1": 2 * hits / (called + positives) if called + positives else float("nan"),
        "log_loss": _log_loss(chance, score),
    }


def _realised(label: np.ndarray, score: np.ndarray, decision: np.ndarray) -> dict[str, float]:
    found = _expected(label.astype(float), score, decision)
    positives = int(label.sum())
    negatives = len(label) - positives
    ordered = midranks(score)[label].sum() - positives * (positives + 1) / 2
    return found | {"auc": float(ordered / (positives * negatives)) if positives and negatives else float("nan")}


def _expected_auc(chance: np.ndarray, score: np.ndarray) -> float:
    """Over all pairs of different rows: the chance that the first is True, the second False, and in order."""
    import numpy as np

    values, at = np.unique(score, return_inverse=True)
    true = np.bincount(at, chance, len(values))
    false = np.bincount(at, 1 - chance, len(values))
    alone = float((chance * (1 - chance)).sum())  # a row makes no pair with itself
    below = np.cumsum(false) - false
    pairs = float(true.sum() * false.sum()) - alone
    return (float((true * (below + false / 2)).sum()) - alone / 2) / pairs if pairs > 0 else float("nan")


def _log_loss(chance: np.ndarray, score: np.ndarray) -> float:
    import numpy as np

    clipped = np.clip(score.astype(np.float64), 1e-15, 1 - 1e-15)
    return float(-(chance * np.log(clipped) + (1 - chance) * np.log1p(-clipped)).mean()) if len(score) else float("nan")
