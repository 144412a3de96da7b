"""Columns as arrays: those of a request that comes by column, and those that features are derived from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: an array of any integer or float type, and which of its values are null (bool)."""

    values: np.ndarray
    missing: np.ndarray

    def as_list(self) -> list[Any]:
        pairs = zip(self.values.tolist(), self.missing.tolist(), strict=True)
        return [None if missing else value for value, missing in pairs]


@dataclass(frozen=True)
class Coded:
    """A column of texts or truth values: the distinct ones, and for each row which it is (integers; -1: null)."""

    distinct: list[Any]
    index: np.ndarray

    def as_list(self) -> list[Any]:
        values = [*self.distinct, None]  # the last is that of -1
        return [values[code] for code in self.index.tolist()]


@dataclass(frozen=True)
class Times:
    """A column of times: datetime64[us], in UTC where there was a zone; a null is NaT."""

    values: np.ndarray

    def as_list(self) -> list[Any]:
        """ISO 8601 texts: what a client that sends JSON would have sent."""
        values = self.values.astype("datetime64[us]").astype(object).tolist()
        return [None if value is None else value.isoformat() for value in values]


Given = Numbers | Coded | Times
