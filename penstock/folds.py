"""Which rows train and which measure in each fold. Pure: arrays in, arrays out; equal inputs give equal folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import DataError

if TYPE_CHECKING:
    import numpy as np

Fold = tuple["np.ndarray", "np.ndarray"]  # masks of the rows, shape (n,): those that train, those that measure


def by_time(time: np.ndarray, count: int, gap_hours: float) -> list[Fold]:
    """Expanding windows: fold i trains on the first i+1 of count+1 equal parts and measures on the next.

    ``time``: integer microseconds, (n,). Rows of one moment stay together; training rows closer than ``gap_hours``
    before those that measure are left out. Raises DataError when a part is empty.
    """
    import numpy as np

    ordered = np.sort(time)
    starts = ordered[[len(ordered) * part // (count + 1) for part in range(1, count + 1)]]
    gap = round(gap_hours * 3600e6)
    ends = [*starts[1:], ordered[-1] + 1]
    folds = [(time < start - gap, (time >= start) & (time < end)) for start, end in zip(starts, ends, strict=True)]
    return _filled(folds)


def at_random(n: int, count: int, seed: int) -> list[Fold]:
    """``n`` shuffled rows in ``count`` equal parts, each of which measures once."""
    import numpy as np

    part = np.empty(n, np.int64)
    part[np.random.default_rng(seed).permutation(n)] = np.arange(n) % count
    return _of_parts(part, count)


def stratified(label: np.ndarray, count: int, seed: int) -> list[Fold]:
    """The same with equal shares of each class in each part. ``label``: comparable values, (n,)."""
    import numpy as np

    order = np.random.default_rng(seed).permutation(len(label))
    order = order[np.argsort(label[order], kind="stable")]
    part = np.empty(len(label), np.int64)
    part[order] = np.arange(len(label)) % count
    return _of_parts(part, count)


def by_group(group: np.ndarray, count: int, seed: int) -> list[Fold]:
    """Whole groups, shuffled, cut where shares of the rows are reached. ``group``: comparable values, (n,)."""
    import numpy as np

    _, member, size = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(size))
    before = np.concatenate([[0], np.cumsum(size[order])[:-1]])
    of_group = np.empty(len(size), np.int64)
    of_group[order] = before * count // len(group)
    return _of_parts(of_group[member], count)


def _of_parts(part: np.ndarray, count: int) -> list[Fold]:
    return _filled([(part != number, part == number) for number in range(count)])


def _filled(folds: list[Fold]) -> list[Fold]:
    for number, (train, measure) in enumerate(folds):
        if not train.any() or not measure.any():
            raise DataError(
                f"Fold {number + 1} of {len(folds)} has no rows to {'measure' if train.any() else 'train'} on.",
                where="tune.folds",
                next_step="lower `tune.folds`, or a smaller `split.gap_hours`, or more data",
            )
    return folds
