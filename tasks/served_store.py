"""Reads the compacted prediction log: the rows of every window that monitoring closed, see `penstock/served.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import DataError
from penstock.served import FIXED, column_of, require_served
from tasks import store
from tasks.collected_store import read_windows

if TYPE_CHECKING:
    import polars as pl


def served_files(project: str) -> list[Path]:
    """The rows of each window that has any, oldest first (Parquet)."""
    return [store.locate(window.rows) for window in read_windows(project) if window.rows is not None]


def read_served(project: str, fields: tuple[str, ...] = ()) -> pl.DataFrame:
    """Every served prediction with the ``fields`` named, as text; a field that a file does not have is null there.

    No rows where nothing has been served. Raises DataError for a file that holds something else.
    """
    import polars as pl

    columns = list(dict.fromkeys(column_of(field) for field in fields))
    types = {name: getattr(pl, kind) for name, kind in FIXED.items()} | dict.fromkeys(columns, pl.String)
    frames = [pl.DataFrame(schema=types)]
    for path in served_files(project):
        try:
            lazy = pl.scan_parquet(path)
            schema = lazy.collect_schema()
            require_served(schema, str(path))
            wanted = [
                pl.col(name).cast(pl.String) if name in schema else pl.lit(None, pl.String).alias(name)
                for name in columns
            ]
            frames.append(lazy.select(*FIXED, *wanted).collect())
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                "Served predictions cannot be read.",
                where=str(path),
                found=str(error).splitlines()[0][:300],
                next_step="remove the file, and compact the prediction log again",
            ) from None
    return pl.concat(frames)
