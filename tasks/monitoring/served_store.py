"""Reads the compacted prediction log: the rows of windows that monitoring closed, see `penstock/served.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from penstock.collected import Collected
from penstock.errors import DataError
from penstock.served import FIXED, column_of, fixed_of, require_served
from penstock.task_type import TaskName
from tasks.store import store

if TYPE_CHECKING:
    import polars as pl


def read_served(
    windows: Iterable[Collected],
    fields: tuple[str, ...] = (),
    only: pl.Expr | None = None,
    task: TaskName = "binary",
) -> pl.DataFrame:
    """The predictions of these windows with the ``fields`` named, as text; a field that a file does not have is null.

    ``only``: those of which this is true. No rows where nothing has been served. Raises DataError for a file that holds
    something else.
    """
    import polars as pl

    columns = list(dict.fromkeys(column_of(field) for field in fields))
    types = {name: getattr(pl, kind) for name, kind in fixed_of(task).items()} | dict.fromkeys(columns, pl.String)
    frames = [pl.DataFrame(schema=types)]
    for path in [store.locate(window.rows) for window in windows if window.rows is not None]:
        try:
            lazy = pl.scan_parquet(path)
            schema = lazy.collect_schema()
            require_served(schema, str(path), task=task)
            wanted = [
                pl.col(name).cast(pl.String) if name in schema else pl.lit(None, pl.String).alias(name)
                for name in columns
            ]
            rows = lazy.select(*FIXED, *wanted)
            frames.append((rows if only is None else rows.filter(only)).collect())
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                "Served predictions cannot be read.",
                where=str(path),
                found=str(error).splitlines()[0][:300],
                next_step="remove the file, and compact the prediction log again",
            ) from None
    return pl.concat(frames)
