"""Turns a model's scores into probabilities, learnt from rows whose labels are known: its own test predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import DataError
from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np

FEW = 1000  # rows of the rarer class from which isotonic regression beats Platt's two numbers


class Calibration(Value):
    """A rising function of the score: straight between the points (``scores[i]``, ``probabilities[i]``)."""

    method: str
    rows: int
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Probabilities of True, float64, shape (n,)."""
        import numpy as np

        return np.interp(score.astype(np.float64), self.scores, self.probabilities)


def fit(label: np.ndarray, score: np.ndarray) -> Calibration:
    """The calibration of these rows: isotonic regression where there are enough of them, Platt's otherwise.

    No probability is 0 or 1: what was seen in n rows is never surer than 1/(n + 2) (Laplace). Sources: Platt 1999,
    "Probabilistic outputs for support vector machines"; Zadrozny & Elkan 2002; which when: Niculescu-Mizil & Caruana
    2005, "Predicting good probabilities with supervised learning". Raises DataError when all labels are one.
    """
    import numpy as np

    rarer = int(min(label.sum(), (~label).sum()))
    if rarer == 0:
        raise DataError(
            "Scores cannot be calibrated on rows of one class.",
            found=f"{len(label):,} rows",
            next_step="estimate from a model whose test rows have both",
        )
    edge = 1 / (len(label) + 2)
    if rarer < FEW:
        scores = np.linspace(0, 1, 1001)
        found = _platt(label, score, scores)
    else:
        from sklearn.isotonic import IsotonicRegression

        isotonic = IsotonicRegression(out_of_bounds="clip").fit(score.astype(np.float64), label)
        scores, found = isotonic.X_thresholds_, isotonic.y_thresholds_
    return Calibration(
        method="Platt" if rarer < FEW else "isotonic",
        rows=len(label),
        scores=tuple(map(float, scores)),
        probabilities=tuple(map(float, np.clip(found, edge, 1 - edge))),
    )


def fit_resamples(label: np.ndarray, score: np.ndarray, count: int, seed: int = 7) -> list[Calibration]:
    """``count`` calibrations of rows drawn with replacement from each class: how sure the calibration itself is."""
    import numpy as np

    draws = np.random.default_rng(seed)
    sides = [np.flatnonzero(label), np.flatnonzero(~label)]
    picks = [np.concatenate([draws.choice(side, len(side)) for side in sides]) for _ in range(count)]
    return [fit(label[pick], score[pick]) for pick in picks]


def _platt(label: np.ndarray, score: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Logistic regression on the score's log-odds, without a penalty, evaluated ``at`` these scores."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    def odds(values: np.ndarray) -> np.ndarray:
        clipped = np.clip(values.astype(np.float64), 1e-6, 1 - 1e-6)
        return np.log(clipped / (1 - clipped)).reshape(-1, 1)

    model = LogisticRegression(C=1e6).fit(odds(score), label)
    return np.asarray(model.predict_proba(odds(at))[:, 1])
