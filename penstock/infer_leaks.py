"""How well one column alone tells the target: one that does almost perfectly is rarely known in time. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.intervals import midranks
from penstock.task_type import TaskName

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

LEAK = 0.995  # the AUC, or R2, of one column alone from which it counts as a leak
SUSPECT = 0.9
BINS = 50
COPY = 0.99999  # the correlation from which a number is the label in another unit
CLASSES = 5  # the most frequent ones that are tried, each against the rest


def tells(values: pl.Series, label: np.ndarray, task: TaskName) -> float:
    """How well ``values`` alone tell the target, out of fold: AUC; of several classes, the mean AUC of the most
    frequent ones, each against the rest; of numbers, R2 of their ranks. ``label``: numbers of classes, or numbers."""
    import numpy as np

    if task == "binary":
        return alone(values, label)
    if task == "regression":
        return alone_number(values, label)
    found, rows = np.unique(label, return_counts=True)
    frequent = found[np.argsort(-rows)][:CLASSES]
    return float(np.mean([alone(values, label == each) for each in frequent]))


def alone(values: pl.Series, label: np.ndarray) -> float:
    """AUC of the share of True in each value (or bin of a number, or among the missing) of one half of the rows, asked
    on the other half, and the reverse: out of fold, so that many rare values tell nothing. 0.5 where it cannot be told.

    ``label``: bool, as long as ``values``.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(label, _means(values, label.astype(float)))) if 0 < label.sum() < len(label) else 0.5


def alone_number(values: pl.Series, label: np.ndarray) -> float:
    """R2 of the labels' ranks by the mean rank in each value, bin or gap of the other half of the rows; 0 at least.

    Of ranks, so that a few large labels do not decide. ``label``: numbers, (n,).
    """
    ranks = midranks(label)
    spread = float(ranks.var())
    return max(0.0, 1 - float(((_means(values, ranks) - ranks) ** 2).mean()) / spread) if spread else 0.0


def _means(values: pl.Series, truth: np.ndarray) -> np.ndarray:
    """The mean of ``truth`` in each value (or bin, or gap) of one half of the rows, told to the other; one row of the
    overall mean is mixed in."""
    import numpy as np

    codes = _codes(values)
    half = np.random.default_rng(7).permutation(len(truth)) % 2
    found = np.empty(len(truth))
    count = int(codes.max()) + 1 if len(codes) else 0
    for fold in (0, 1):
        learn, ask = half != fold, half == fold
        base = truth[learn].mean() if learn.any() else 0.5
        rows = np.bincount(codes[learn], minlength=count)
        sums = np.bincount(codes[learn], weights=truth[learn], minlength=count)
        found[ask] = ((sums + base) / (rows + 1))[codes[ask]]
    return found


def is_copy(values: pl.Series, label: np.ndarray, task: TaskName = "binary") -> bool:
    """Whether each of the column's few values (missing included) goes with one value of the label only; of numbers,
    whether it is the label itself, in whatever unit or only rising with it."""
    import numpy as np
    import polars as pl

    if task == "regression":
        there = values.is_not_null().to_numpy()
        if values.dtype == pl.String or there.sum() < 0.5 * len(label):
            return False
        numbers, known = values.filter(values.is_not_null()).cast(pl.Float64).to_numpy(), label[there]
        if not numbers.std() or not known.std():
            return False
        straight, rising = np.corrcoef(numbers, known)[0, 1], np.corrcoef(midranks(numbers), midranks(known))[0, 1]
        return bool(max(abs(straight), abs(rising)) > COPY)
    if values.n_unique() > 3 * len(np.unique(label)) // 2:
        return False
    codes = values.rank("dense").fill_null(0).to_numpy().astype(int)
    return all(len(np.unique(label[codes == code])) == 1 for code in np.unique(codes))


def _codes(values: pl.Series) -> np.ndarray:
    """0: missing; then the value's or bin's number."""
    import numpy as np
    import polars as pl

    if values.dtype.is_numeric() and values.n_unique() > BINS:
        numbers = values.cast(pl.Float64)
        # as fine as the rows allow: a threshold that tells all may lie anywhere
        edges = np.unique(np.nanquantile(numbers.drop_nulls().to_numpy(), np.linspace(0, 1, _bins(len(values)) + 1)))
        codes = np.searchsorted(edges, numbers.fill_null(0).to_numpy(), side="right") + 1
        return np.where(numbers.is_null().to_numpy(), 0, codes)
    return np.asarray(values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy())


def _bins(rows: int) -> int:
    return max(BINS, min(1000, rows // 40))
