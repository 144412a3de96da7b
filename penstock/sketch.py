"""What is known of a column without its values: counts, and the distribution as a grid of quantiles or as counts.

Made from whylogs' sketches (`tasks/monitoring/summaries.py`) or from the values themselves. Numbers are rounded to
float32, which is what the model sees: otherwise a training value that was stored as float32 and the same one in a
request would be two neighbouring numbers, and every value that many rows share a difference between the distributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field, FiniteFloat

from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np

GRID = 513  # quantiles kept of a column: between two neighbours lies at most 1/512 of the rows
MOST = 3.4e38  # about the largest float32

Type = Literal["number", "boolean", "text", "other"]


class ColumnSummary(Value):
    """A column of one data set. Shares are fractions of its finite numbers; every number is finite.

    ``types``: how many values of each type, nulls in none. ``points``: rising values, the least and the greatest among
    them; ``below`` and ``upto``: the share of values < and <= each. ``rank_error``: how far such a share, or one
    interpolated between two points, may be off. ``levels``: for text and Booleans, (value, count), the most frequent
    first; a category that is known but has not occurred counts 0. ``unlisted``: values whose category is not in it.
    """

    name: str
    rows: int = Field(ge=0)
    nulls: int = Field(ge=0)
    types: tuple[tuple[Type, int], ...] = ()
    points: tuple[FiniteFloat, ...] = ()
    below: tuple[FiniteFloat, ...] = ()
    upto: tuple[FiniteFloat, ...] = ()
    numbers: int = 0
    mean: FiniteFloat = 0.0
    deviation: FiniteFloat = 0.0
    rank_error: FiniteFloat = 0.0
    levels: tuple[tuple[str, int], ...] = ()
    unlisted: int = 0

    @property
    def type(self) -> Type | None:
        """The type of most of its values; None where there are none."""
        found = [(count, kind) for kind, count in self.types if count]
        return max(found)[1] if found else None

    @property
    def values(self) -> int:
        """How many values its distribution is made of."""
        return self.numbers if self.type == "number" else sum(count for _, count in self.levels) + self.unlisted


def number_summary(name: str, values: np.ndarray, nulls: int = 0) -> ColumnSummary:
    """The summary of a column of numbers; NaN counts as null, infinite values as values without a place."""
    import numpy as np

    values = np.asarray(values, np.float64)
    known = values[~np.isnan(values)]
    numbers = np.sort(rounded(known[np.isfinite(known)]))
    rows, missing = len(values) + nulls, len(values) - len(known) + nulls
    types: tuple[tuple[Type, int], ...] = (("number", len(known)),)
    if not len(numbers):
        return ColumnSummary(name=name, rows=rows, nulls=missing, types=types)
    at = np.unique(np.linspace(0, len(numbers) - 1, GRID).round().astype(int))
    points = np.unique(numbers[at])
    below = np.searchsorted(numbers, points, "left") / len(numbers)
    upto = np.searchsorted(numbers, points, "right") / len(numbers)
    return ColumnSummary(
        name=name,
        rows=rows,
        nulls=missing,
        types=types,
        points=tuple(points.tolist()),
        below=tuple(below.tolist()),
        upto=tuple(upto.tolist()),
        numbers=len(numbers),
        mean=float(numbers.mean()),
        deviation=float(numbers.std()),
        rank_error=gap(below, upto),
    )


def category_summary(name: str, counts: Mapping[str, int], nulls: int = 0, kind: Type = "text") -> ColumnSummary:
    """The summary of a column of texts, or of Booleans named "True" and "False"."""
    found = sum(counts.values())
    return ColumnSummary(
        name=name, rows=found + nulls, nulls=nulls, types=((kind, found),), levels=by_frequency(counts)
    )


def by_frequency(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """(category, count), the most frequent first, equally frequent ones by name."""
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def rounded(values: np.ndarray) -> np.ndarray:
    """Numbers as float64 that a float32 can hold exactly."""
    import numpy as np

    return np.asarray(np.clip(values, -MOST, MOST), np.float32).astype(np.float64)


def gap(below: np.ndarray, upto: np.ndarray) -> float:
    """The largest share that lies between two neighbouring points: what interpolating there may be off."""
    return float(max(0.0, (below[1:] - upto[:-1]).max(initial=0.0)))


def shares(summary: ColumnSummary, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shares of its numbers that are < and <= each of ``at``, linear between two points."""
    import numpy as np

    points, below, upto = (np.array(part) for part in (summary.points, summary.below, summary.upto))
    place = np.searchsorted(points, at, "right") - 1  # the last point that is not above
    on = (place >= 0) & (points[place] == at)
    last = len(points) - 1
    left, right = place.clip(0, last), (place + 1).clip(0, last)
    width = np.where(right > left, points[right] - points[left], 1.0)
    part = ((at - points[left]) / width).clip(0, 1)
    between = upto[left] + part * (below[right] - upto[left])
    between = np.where(place < 0, 0.0, np.where(place >= last, 1.0, between))
    return np.where(on, below[left], between), np.where(on, upto[left], between)
