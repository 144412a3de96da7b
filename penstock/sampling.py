"""Which rows a sample keeps. Pure: equal inputs give equal samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def sampled(n: int, share: float, seed: int) -> np.ndarray:
    """True for ``share`` of ``n`` rows, at least one of them. Boolean, shape (n,)."""
    import numpy as np

    chosen = np.zeros(n, bool)
    chosen[np.random.default_rng(seed).permutation(n)[: math.ceil(n * share)]] = True
    return chosen


def sampled_by_class(label: np.ndarray, share: float, seed: int) -> np.ndarray:
    """True for ``share`` of the rows of each class, at least one of each: no class is lost. ``label``: (n,)."""
    import numpy as np

    chosen = np.zeros(len(label), bool)
    for number, value in enumerate(np.unique(label)):
        rows = np.flatnonzero(label == value)
        chosen[rows[sampled(len(rows), share, seed + number)]] = True
    return chosen
