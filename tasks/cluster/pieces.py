"""Cuts Parquet files into pieces of whole row groups, which are worked on one by one: here, or on a cluster's workers.

Wherever they are worked on, files are cut alike, and what comes of the pieces is put together in their order: so the
result is the same. A file is read in place; how a worker finds it says `tasks/data/cluster_files.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.refs import DataFile, FileRef, Value
from tasks.cluster import cluster
from tasks.store.parquet import streamed

if TYPE_CHECKING:
    import polars as pl

ROWS = 1 << 19  # of a piece, or the whole row groups that make as many; fewer rows in all are not worth a cluster


class Outside(Value):
    """A Parquet file that is not Penstock's own; ``footer``: SHA-256 of its end, which lists what is in it."""

    size: int
    footer: str


class Piece(Value):
    """The row groups ``groups[0]`` up to, without it, ``groups[1]`` of a file, which begin at row ``start``.

    ``path``: where this process reads the file. ``whole``: there are no others.
    """

    file: FileRef | DataFile | Outside
    path: str
    groups: tuple[int, int]
    start: int
    rows: int
    whole: bool


def cut(file: FileRef | DataFile | Outside, path: Path) -> list[Piece]:
    """The pieces of a file, in order. None is empty but that of a file of no rows."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as opened:
        sizes = [opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups)]
    ends = []
    rows = 0
    for number, size in enumerate(sizes, 1):
        rows += size
        if rows >= ROWS or number == len(sizes):
            ends.append(number)
            rows = 0
    bounds = list(zip([0, *ends], ends or [0], strict=False))
    pieces = [
        Piece(
            file=file,
            path=str(path),
            groups=(first, end),
            start=sum(sizes[:first]),
            rows=sum(sizes[first:end]),
            whole=len(bounds) == 1,
        )
        for first, end in bounds
    ]
    return [piece for piece in pieces if piece.rows] or pieces[:1]


def many(pieces: Sequence[Piece]) -> bool:
    """Whether these are worth a cluster."""
    return len(pieces) > 1 and sum(piece.rows for piece in pieces) > ROWS


def far(pieces: Sequence[Piece]) -> bool:
    """Whether a cluster works on these: they are worth it, and there is one."""
    return cluster.is_used() and many(pieces)


def scan(piece: Piece) -> pl.LazyFrame:
    import polars as pl

    rows = pl.scan_parquet(piece.path)
    return rows if piece.whole else rows.slice(piece.start, piece.rows)


def batches(piece: Piece, rows: int, columns: list[str] | None = None) -> Iterator[pl.DataFrame]:
    """The piece's rows in order, at most ``rows`` at a time."""
    import polars as pl

    with streamed(Path(piece.path)) as file:
        for batch in file.iter_batches(rows, row_groups=list(range(*piece.groups)), columns=columns):
            yield pl.DataFrame(pl.from_arrow(batch))
