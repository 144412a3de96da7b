"""Counts the rows of a scored file that are not what the schema says, and judges whether they are too many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from penstock.errors import DataError

if TYPE_CHECKING:
    import polars as pl

SHOWN = 3


class RefusedRows:
    """``most``: the share of all rows that may be refused; ``none``: not one may."""

    def __init__(self, where: str, most: float, none: bool) -> None:
        self._where, self._most, self._none = where, most, none
        self.rows = 0
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}

    def add(self, lines: pl.DataFrame) -> None:
        """``lines``: `row`, `column`, `reason`, `value`; all that is wrong with these rows."""
        self.rows += lines["row"].n_unique()
        for (column, reason), part in lines.group_by("column", "reason", maintain_order=True):
            key = (str(column), str(reason))
            self._reasons[key] += part.height
            self._examples.setdefault(key, f"row {part['row'][0]}: {part['value'][0]}")

    def require_few(self, total: int) -> None:
        """Raise DataError if they are too many of ``total`` rows."""
        if not self.rows or (not self._none and self.rows <= self._most * total):
            return
        raise DataError(
            f"{self.rows:,} of {total:,} rows ({self.rows / total:.1%}) are not what the schema says.",
            where=self._where,
            found="; ".join(
                f"{column}: {reason}, {count:,} rows, such as {self._examples[column, reason]}"
                for (column, reason), count in self._reasons.most_common(SHOWN)
            ),
            allowed="none, as `on_invalid` is `fail`"
            if self._none
            else f"at most {self._most:.1%} (`data.max_invalid_fraction`)",
            next_step="mend the rows or the schema; nothing was written",
        )
