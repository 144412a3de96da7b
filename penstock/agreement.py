"""How far a challenger's answers are from the champion's on the same requests: sums that confidence sequences need.

Only sums are kept, so that windows can be added and the rows forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np


FAR = 0.5  # of the labels' standard deviation: two numbers this far apart are decided differently


class SliceAgreement(Value):
    """One slice of the compared rows, such as ``origin=JFK``, or all of them seen by one class. The sums are those of
    `Agreement`."""

    name: str
    rows: int
    flips: int
    shift_sum: float
    shift_squares: float


class Agreement(Value):
    """Sums over ``rows`` pairs of answers. A shift is challenger's minus champion's probability, in [-1, 1].

    ``flips`` counts the rows that the two decide differently. Of several classes, shifts are those of each class, in
    ``classes``, and not here nor in ``slices``. Of numbers, see `compare_numbers`.
    """

    rows: int = 0
    shift_sum: float = 0.0
    shift_squares: float = 0.0
    flips: int = 0
    slices: tuple[SliceAgreement, ...] = ()
    classes: tuple[SliceAgreement, ...] = ()

    def of(self, name: str) -> Agreement | SliceAgreement:
        """A slice, or all rows where there is no such slice."""
        return next((part for part in self.slices if part.name == name), self)

    def __add__(self, other: Agreement) -> Agreement:
        """Both windows' rows together, slices and classes by name."""
        return Agreement(
            rows=self.rows + other.rows,
            shift_sum=self.shift_sum + other.shift_sum,
            shift_squares=self.shift_squares + other.shift_squares,
            flips=self.flips + other.flips,
            slices=_together((*self.slices, *other.slices)),
            classes=_together((*self.classes, *other.classes)),
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

    _require_equal_length(champion, challenger, champion_decisions, challenger_decisions, *(slices or {}).values())
    before, after = np.asarray(champion, np.float64), np.asarray(challenger, np.float64)
    kept, answered = (before >= 0) & (before <= 1), (after >= 0) & (after <= 1)
    shift = np.where(answered, after - before, 1.0)
    flip = ~answered | (np.asarray(champion_decisions, bool) != np.asarray(challenger_decisions, bool))
    return _sums(shift, flip, kept, slices or {})


def compare_numbers(
    champion: np.ndarray, challenger: np.ndarray, spread: float, slices: Mapping[str, np.ndarray] | None = None
) -> Agreement:
    """The agreement of numbers. A shift is in units of ``spread``, the labels' standard deviation, and cut off at one;
    a flip is more than `FAR` of it. What is left out, and what counts as the largest shift, is as in `compare`."""
    import numpy as np

    _require_equal_length(champion, challenger, *(slices or {}).values())
    before, after = np.asarray(champion, np.float64), np.asarray(challenger, np.float64)
    kept, answered = np.isfinite(before), np.isfinite(after)
    moved = np.where(answered & kept, after - before, np.inf) / spread
    return _sums(np.clip(moved, -1, 1), np.abs(moved) > FAR, kept, slices or {})


def compare_classes(
    champion: np.ndarray,
    challenger: np.ndarray,
    classes: tuple[str, ...],
    slices: Mapping[str, np.ndarray] | None = None,
) -> Agreement:
    """The agreement of probabilities of several classes, of shape (n, classes): each is decided for the most probable.

    A class that one of the two does not know has the probability 0 there. What is left out, and what counts as the
    largest shift, is as in `compare`.
    """
    import numpy as np

    _require_equal_length(champion, challenger, *(slices or {}).values())
    before, after = np.asarray(champion, np.float64), np.asarray(challenger, np.float64)
    kept, answered = (np.isfinite(side.sum(1)) for side in (before, after))
    flip = ~answered | (np.nan_to_num(before).argmax(1) != np.nan_to_num(after).argmax(1))
    shift = np.where(answered[:, None], after - before, 1.0)
    found = _sums(np.zeros(len(flip)), flip, kept, slices or {})
    parts = [_part(name, shift[:, number], flip, kept) for number, name in enumerate(classes)]
    return found.model_copy(update={"classes": tuple(sorted(parts, key=lambda part: part.name))})


def _require_equal_length(*columns: np.ndarray) -> None:
    if len({len(column) for column in columns}) != 1:
        raise ValueError("the columns to compare differ in length: " + ", ".join(str(len(one)) for one in columns))


def _sums(shift: np.ndarray, flip: np.ndarray, kept: np.ndarray, slices: Mapping[str, np.ndarray]) -> Agreement:
    import numpy as np

    whole = _part("", shift, flip, kept)
    found = []
    for column, labels in slices.items():
        words = np.asarray(labels).astype(str)
        found += [_part(f"{column}={word}", shift, flip, kept & (words == word)) for word in np.unique(words[kept])]
    return Agreement(
        rows=whole.rows,
        shift_sum=whole.shift_sum,
        shift_squares=whole.shift_squares,
        flips=whole.flips,
        slices=tuple(sorted(found, key=lambda one: one.name)),
    )


def _part(name: str, shift: np.ndarray, flip: np.ndarray, rows: np.ndarray) -> SliceAgreement:
    moved = shift[rows]
    return SliceAgreement(
        name=name,
        rows=int(rows.sum()),
        flips=int(flip[rows].sum()),
        shift_sum=float(moved.sum()),
        shift_squares=float((moved * moved).sum()),
    )


def _together(parts: tuple[SliceAgreement, ...]) -> tuple[SliceAgreement, ...]:
    return tuple(_added(name, parts) for name in sorted({part.name for part in parts}))


def _added(name: str, parts: tuple[SliceAgreement, ...]) -> SliceAgreement:
    same = [part for part in parts if part.name == name]
    return SliceAgreement(
        name=name,
        rows=sum(part.rows for part in same),
        flips=sum(part.flips for part in same),
        shift_sum=sum(part.shift_sum for part in same),
        shift_squares=sum(part.shift_squares for part in same),
    )
