"""How far a challenger's answers are from the champion's on the same requests: sums that confidence sequences need.

Only sums are kept, so that windows can be added and the rows forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np


class SliceAgreement(Value):
    """One slice of the compared rows, such as ``origin=JFK``. The sums are those of `Agreement`."""

    name: str
    rows: int
    flips: int
    shift_sum: float
    shift_squares: float


class Agreement(Value):
    """Sums over ``rows`` pairs of answers. A shift is challenger's minus champion's probability, in [-1, 1].

    ``flips`` counts the rows that the two decide differently.
    """

    rows: int = 0
    shift_sum: float = 0.0
    shift_squares: float = 0.0
    flips: int = 0
    slices: tuple[SliceAgreement, ...] = ()

    def of(self, name: str) -> Agreement | SliceAgreement:
        """A slice, or all rows where there is no such slice."""
        return next((part for part in self.slices if part.name == name), self)

    def __add__(self, other: Agreement) -> Agreement:
        """Both windows' rows together, slices by name."""
        names = sorted({part.name for part in (*self.slices, *other.slices)})
        return Agreement(
            rows=self.rows + other.rows,
            shift_sum=self.shift_sum + other.shift_sum,
            shift_squares=self.shift_squares + other.shift_squares,
            flips=self.flips + other.flips,
            slices=tuple(_together(name, (*self.slices, *other.slices)) for name in names),
        )


def compare(
    champion: np.ndarray,
    challenger: np.ndarray,
    champion_decisions: np.ndarray,
    challenger_decisions: np.ndarray,
    slices: Mapping[str, np.ndarray] | None = None,
) -> Agreement:
    """The agreement of probabilities and boolean decisions, all of shape (n,), row i the same request.

    ``slices``: column -> labels of shape (n,); each label is a slice named ``column=label``. A row to which the
    champion gave no probability (NaN, or outside [0, 1]) has nothing to compare with and is left out; one to which
    only the challenger gave none counts as the largest shift there is, 1, and as a flip. Raises ValueError if lengths
    differ.
    """
    import numpy as np

    columns = [champion, challenger, champion_decisions, challenger_decisions, *(slices or {}).values()]
    if len({len(column) for column in columns}) != 1:
        raise ValueError("the columns to compare differ in length: " + ", ".join(str(len(one)) for one in columns))
    before, after = np.asarray(champion, np.float64), np.asarray(challenger, np.float64)
    kept, answered = (before >= 0) & (before <= 1), (after >= 0) & (after <= 1)
    shift = np.where(answered, after - before, 1.0)
    flip = ~answered | (np.asarray(champion_decisions, bool) != np.asarray(challenger_decisions, bool))

    def part(name: str, rows: np.ndarray) -> SliceAgreement:
        moved = shift[rows]
        return SliceAgreement(
            name=name,
            rows=int(rows.sum()),
            flips=int(flip[rows].sum()),
            shift_sum=float(moved.sum()),
            shift_squares=float((moved * moved).sum()),
        )

    whole = part("", kept)
    found = []
    for column, labels in (slices or {}).items():
        words = np.asarray(labels).astype(str)
        found += [part(f"{column}={word}", kept & (words == word)) for word in np.unique(words[kept])]
    return Agreement(
        rows=whole.rows,
        shift_sum=whole.shift_sum,
        shift_squares=whole.shift_squares,
        flips=whole.flips,
        slices=tuple(sorted(found, key=lambda one: one.name)),
    )


def _together(name: str, parts: tuple[SliceAgreement, ...]) -> SliceAgreement:
    same = [part for part in parts if part.name == name]
    return SliceAgreement(
        name=name,
        rows=sum(part.rows for part in same),
        flips=sum(part.flips for part in same),
        shift_sum=sum(part.shift_sum for part in same),
        shift_squares=sum(part.shift_squares for part in same),
    )
