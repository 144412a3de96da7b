"""Which split each row belongs to. Pure: arrays in, arrays out; equal inputs give equal splits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from penstock.config import SplitConfig
from penstock.errors import DataError

if TYPE_CHECKING:
    import numpy as np

TRAIN, VALIDATION, TEST, LEFT_OUT = 0, 1, 2, 3


def by_time(time: np.ndarray, split: SplitConfig) -> np.ndarray:
    """The last rows judge, those before them choose. ``time``: integer microseconds, shape (n,).

    Rows of one moment stay together. Rows closer than ``gap_hours`` before a boundary are left out, so that what is
    known late (a label, an aggregate) cannot leak over it.
    """
    import numpy as np

    n = len(time)
    ends = [min(n - 1, round(n * (1 - share))) for share in (split.validation + split.test, split.test)]
    starts = np.partition(time, ends)[ends]  # no second copy, and no index of 8 bytes a row: there may be many
    part: np.ndarray = (time >= starts[0]).astype(np.int8)
    part += time >= starts[1]
    gap = round(split.gap_hours * 3600e6)
    if gap:
        for number, start in enumerate(starts):
            part[(part == number) & (time >= start - gap)] = LEFT_OUT
    return part


def at_random(n: int, split: SplitConfig) -> np.ndarray:
    """Exact shares of ``n`` shuffled rows."""
    import numpy as np

    return _dealt(np.random.default_rng(split.seed).permutation(n), split)


def stratified(label: np.ndarray, split: SplitConfig) -> np.ndarray:
    """Exact shares of the rows of each class, so that every split has the same shares. ``label``: (n,), comparable."""
    import numpy as np

    generator = np.random.default_rng(split.seed)
    part = np.empty(len(label), np.int8)
    for value in np.unique(label):
        rows = np.flatnonzero(label == value)
        part[rows] = _dealt(generator.permutation(len(rows)), split)
    return part


def by_group(group: np.ndarray, split: SplitConfig) -> np.ndarray:
    """Whole groups, shuffled, until each share of the *rows* is reached. ``group``: comparable values, (n,)."""
    import numpy as np

    _, member, size = np.unique(group, return_inverse=True, return_counts=True)
    order = np.random.default_rng(split.seed).permutation(len(size))
    before = np.concatenate([[0], np.cumsum(size[order])[:-1]]) / len(group)
    of_group = np.empty(len(size), np.int8)
    of_group[order] = np.where(
        before < split.test, TEST, np.where(before < split.test + split.validation, VALIDATION, TRAIN)
    )
    return np.asarray(of_group[member], np.int8)


def require_both_classes(positives: dict[str, int], rows: dict[str, int], label: str) -> None:
    """Raise DataError if the label does not vary, or a split has rows of one class only."""
    total, all_positives = sum(rows.values()), sum(positives.values())
    if total and all_positives in (0, total):
        raise DataError(
            f"The label `{label}` is the same in all {total:,} rows: there is nothing to learn.",
            found=f"{'True' if all_positives else 'False'} only",
            allowed="both classes",
            next_step="check the label's column and the data source",
        )
    for name in rows:
        if not rows[name] or positives[name] in (0, rows[name]):
            raise DataError(
                f"The {name} split has rows of one class only, or none.",
                found=f"{positives[name]:,} positives in {rows[name]:,} rows",
                allowed="both classes in every split",
                next_step="take more data, larger shares under `split:`, or `split.by: stratified`",
            )


def require_classes(rows_by_class: dict[str, dict[str, int]], label: str) -> None:
    """Raise DataError if there is one class only, or a split has a class that no training row has, or no rows.

    ``rows_by_class``: by split and class.
    """
    train = rows_by_class["train"]
    if len(train) < 2:
        raise DataError(
            f"The label `{label}` is the same in all {sum(train.values()):,} training rows: there is nothing to learn.",
            found=next(iter(train), "no rows"),
            allowed="two classes or more",
            next_step="check the label's column and the data source",
        )
    for name, counts in rows_by_class.items():
        strange = {value: count for value, count in counts.items() if value not in train}
        if strange or not sum(counts.values()):
            raise DataError(
                f"The {name} split has classes that no training row has." if strange else f"The {name} split is empty.",
                found=", ".join(f"{value} ({count:,} rows)" for value, count in list(strange.items())[:10]),
                allowed=", ".join(list(train)[:20]),
                next_step="take more data, `split.by: stratified`, or leave such rows out in the source",
            )


def require_numbers(numbers: dict[str, dict[str, float]], label: str) -> None:
    """Raise DataError if labels are not finite or do not vary in training, or a split has no rows.

    ``numbers``: by split, its ``rows``, ``mean`` and ``deviation``.
    """
    for name, facts in numbers.items():
        if not facts["rows"]:
            raise DataError(f"The {name} split is empty.", next_step="take more data, or larger shares under `split:`")
        if not math.isfinite(facts["mean"]) or not math.isfinite(facts["deviation"]):
            raise DataError(
                f"The label `{label}` is not a finite number in every row of the {name} split.",
                allowed="finite numbers",
                next_step="add a range (`in_range`) for it to the schema, so that such rows are set aside",
            )
    if not numbers["train"]["deviation"]:
        raise DataError(
            f"The label `{label}` is the same in all training rows: there is nothing to learn.",
            found=f"{numbers['train']['mean']:g}",
            next_step="check the label's column and the data source",
        )


def _dealt(rank: np.ndarray, split: SplitConfig) -> np.ndarray:
    """Ranks 0..n-1 cut at the shares of test and validation."""
    import numpy as np

    n = len(rank)
    test, validation = round(n * split.test), round(n * split.validation)
    return np.where(rank < test, TEST, np.where(rank < test + validation, VALIDATION, TRAIN)).astype(np.int8)
