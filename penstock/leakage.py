"""What one feature tells of the label by itself. One that tells nearly all of it is often the label in disguise: it was
written down after the outcome, and will not be there when a prediction is asked for (Kaufman et al. 2012, "Leakage in
data mining"). Pure; ``x`` is a column of numbers (NaN: missing) or of codes, ``y`` the label as the judge numbers it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.gate_checks import Check
from penstock.refs import Value
from penstock.task_type import TaskName

if TYPE_CHECKING:
    import numpy as np

BINS = 256
MEASURES: dict[TaskName, str] = {"binary": "AUC", "multiclass": "balanced accuracy", "regression": "R2"}


class Alone(Value):
    """What each feature reaches alone on the test rows, best first."""

    measure: str
    features: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        if not self.features:
            return "nothing"
        name, value = self.features[0]
        return f"{name} alone has {self.measure} {value:.4f}"


def leak_check(alone: Alone, most: float) -> Check:
    """Whether no feature alone is better than ``most``; the failed ones by name. Without any value it does not pass."""
    leaks = [name for name, value in alone.features if value > most]
    note = str(alone)
    if leaks:
        names = ", ".join(f"`{name}` ({value:.4f})" for name, value in alone.features if value > most)
        note = (
            f"{names}: known only after the outcome? Then move to `features.known_after`; "
            "else raise `gate.max_single_feature`"
        )
    value = alone.features[0][1] if alone.features else None
    return Check(
        name=f"best feature alone ({alone.measure})",
        value=value,
        baseline=None,
        bound=f"at most {most:g}",
        passed=value is not None and not leaks,
        note=note,
    )


def alone_on(
    task: TaskName,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: int = 0,
    ordered: bool = True,
) -> float | None:
    """How well (x, y) of ``train`` tells y of ``test`` from its x; None where the test labels do not vary.

    What is predicted is the mean label of each bin of training rows, or of each category; of several classes the one
    that is most overrepresented. Of ``ordered`` values also their own ranks are tried, either way round: a copy of the
    label is found even where bins are coarse.
    """
    import numpy as np

    (x, y), (asked, truth) = train, test
    if not len(x) or not len(truth) or (truth == truth[0]).all():
        return None
    bins, places = _bins(x, asked, ordered)
    size = int(max(bins.max(), places.max())) + 1
    if task == "multiclass":
        return _balanced(y, truth, bins, places, size, classes)
    rows = np.bincount(bins, minlength=size)
    mean = y.astype(np.float64).mean()
    told = np.where(rows, np.bincount(bins, y, minlength=size) / np.maximum(rows, 1), mean)[places]
    found = [_auc(truth, told)] if task == "binary" else [_r2(truth, told)]
    if ordered:
        for missing in (-np.inf, np.inf):
            filled = np.where(np.isnan(asked), missing, asked)
            if task == "binary":
                auc = _auc(truth, filled)
                found += [auc, 1 - auc]
            else:
                found.append(_rank_r2(truth, filled))
    return float(max(found))


def _bins(x: np.ndarray, asked: np.ndarray, ordered: bool) -> tuple[np.ndarray, np.ndarray]:
    """The bin of each training and test row: 0 for a missing value, else the category or the quantile of training."""
    import numpy as np

    if not ordered:
        return x.astype(np.intp), asked.astype(np.intp)
    values = np.unique(x[~np.isnan(x)])
    if len(values) > BINS:
        values = np.unique(np.quantile(x[~np.isnan(x)], np.linspace(0, 1, BINS)))
    both = [np.where(np.isnan(part), 0, 1 + np.searchsorted(values, part)) for part in (x, asked)]
    return both[0], both[1]


def _auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve, by midranks (Mann & Whitney 1947)."""
    from penstock.intervals import midranks

    positives = int(truth.sum())
    ranks = midranks(score)[truth.astype(bool)].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * (len(truth) - positives)))


def _r2(truth: np.ndarray, told: np.ndarray) -> float:
    return float(1 - ((truth - told) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def _rank_r2(truth: np.ndarray, x: np.ndarray) -> float:
    """The square of Spearman's rank correlation; 0 for a constant."""
    import numpy as np

    from penstock.intervals import midranks

    ranks = midranks(x)
    return float(np.corrcoef(midranks(truth), ranks)[0, 1] ** 2) if ranks.std() else 0.0


def _balanced(y: np.ndarray, truth: np.ndarray, bins: np.ndarray, places: np.ndarray, size: int, classes: int) -> float:
    """The mean over classes of the share of their rows that are told: a majority, however large, tells 1 / classes."""
    import numpy as np

    table = np.bincount(bins * classes + y, minlength=size * classes).reshape(size, classes)
    told = (table / np.maximum(table.sum(0), 1)).argmax(1)[places]
    return float(np.mean([(told[truth == one] == one).mean() for one in np.unique(truth)]))


def each(alone: dict[str, float | None]) -> Iterator[tuple[str, float]]:
    """The features that have a value, best first."""
    known = [(name, value) for name, value in alone.items() if value is not None]
    yield from sorted(known, key=lambda pair: (-pair[1], pair[0]))
