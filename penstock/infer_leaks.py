"""How well one column alone tells a binary target: one that does almost perfectly is rarely known in time. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

LEAK = 0.995  # the AUC of one column alone from which it counts as a leak
SUSPECT = 0.9
BINS = 50


def alone(values: pl.Series, label: np.ndarray) -> float:
    """AUC of the share of True in each value (or bin of a number, or among the missing) of one half of the rows, asked
    on the other half, and the reverse: out of fold, so that many rare values tell nothing. 0.5 where it cannot be told.

    ``label``: bool, as long as ``values``.
    """
    import numpy as np
    from sklearn.metrics import roc_auc_score

    codes = _codes(values)
    half = np.random.default_rng(7).permutation(len(label)) % 2
    score = np.empty(len(label))
    count = int(codes.max()) + 1 if len(codes) else 0
    for fold in (0, 1):
        learn, ask = half != fold, half == fold
        base = label[learn].mean() if learn.any() else 0.5
        rows = np.bincount(codes[learn], minlength=count)
        hits = np.bincount(codes[learn], weights=label[learn].astype(float), minlength=count)
        score[ask] = ((hits + base) / (rows + 1))[codes[ask]]
    return float(roc_auc_score(label, score)) if 0 < label.sum() < len(label) else 0.5


def is_copy(values: pl.Series, label: np.ndarray) -> bool:
    """Whether each of the column's (two or three, missing included) values goes with one value of the label only."""
    import numpy as np

    if values.n_unique() > 3:
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
