"""What a data source is: names of batches in order, and the rows of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Unread:
    """Values of one column that are not of its type. ``rows``: positions; ``examples``: some of the values."""

    column: str
    dtype: str
    rows: list[int]
    examples: list[str]


@dataclass(frozen=True)
class Batch:
    """One batch's rows, and how many the source left out for which reason.

    ``unread``: values of ``rows`` that are null because they could not be read as their type; such rows are invalid.
    """

    rows: pl.DataFrame
    dropped: dict[str, int] = field(default_factory=dict)
    unread: tuple[Unread, ...] = ()


@runtime_checkable
class Source(Protocol):
    """Where rows come from. `data.source: module:function` names a function that returns one."""

    def names(self) -> list[str]:
        """Every batch there is, in the order to ingest them. Cheap: it is asked each time `penstock run` is typed."""

    def read(self, name: str) -> Batch:
        """The rows of one batch: the same rows in the same order each time."""
