"""Two columns as counts over the same levels: bins between the training data's deciles, or categories.

Levels expected fewer than `LEAST` times in either sample are pooled (Cochran 1954, "Some methods for strengthening the
common chi-squared tests"), and half a value is added to each (Krichevsky & Trofimov 1981, "The performance of universal
encoding"), so that a category that has gone or come is no division by 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.sketch import ColumnSummary, shares

if TYPE_CHECKING:
    import numpy as np

BINS = 10
LEAST = 5.0


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


def smoothed(counts: np.ndarray) -> np.ndarray:
    return (counts + 0.5) / (counts.sum() + 0.5 * len(counts))  # type: ignore[no-any-return]


def _in_bins(summary: ColumnSummary, edges: np.ndarray) -> np.ndarray:
    import numpy as np

    _, upto = shares(summary, edges)
    return np.diff(upto, prepend=0.0, append=1.0).clip(0, 1) * summary.numbers
