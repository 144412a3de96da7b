"""Answers that need no model, from labels alone: what a model has to beat to be worth its trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def last_values(time: np.ndarray, label: np.ndarray, usable: np.ndarray, gap: int) -> np.ndarray:
    """For each row the label of the latest row that is more than ``gap`` older; NaN where there is none.

    ``time`` and ``gap``: integer microseconds; ``usable``: Boolean, the rows whose label may be told. All of shape
    (n,). Of rows of one moment the last in the data's order counts.
    """
    import numpy as np

    order = np.argsort(time[usable], kind="stable")
    moments, labels = time[usable][order], label[usable][order].astype(np.float64)
    before = np.searchsorted(moments, time - gap, side="left") - 1
    if not len(labels):
        return np.full(len(time), np.nan)
    return np.where(before >= 0, labels[before], np.nan)
