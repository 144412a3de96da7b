"""Batches of a query's rows. With a watermark, the rows above what the dataset has; without, all of them, once.

What was read last is not remembered anywhere: it is in the names of the dataset's own batches, so that a run that was
killed, refused or repeated takes the same rows. All rows of one mark are in one batch. Those of the newest mark are
left until a later one is there: more of them may come.
"""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock.batch import Batch
from penstock.columns import Column
from penstock.errors import DataError
from penstock.reading import read_columns, unique_names
from penstock.source_config import SourceConfig, SqlConfig
from penstock.watermark import batch_name, bounds, last_mark
from tasks.data.database import connection, database_url, shown

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import Connection, Select

ALL = "all"  # the one batch of a query without a watermark
PIECE = 20_000  # rows that are Python objects at a time
KEPT = (bool, int, float, str, datetime.date, decimal.Decimal)  # a datetime is a date


class SqlSource:
    """The query of a project's `data.source.sql`. ``ingested``: gives the batches that the dataset has."""

    def __init__(self, source: SourceConfig, columns: dict[str, Column], ingested: Callable[[], set[str]]) -> None:
        assert source.sql is not None
        self.source, self.columns, self.ingested = source, columns, ingested
        self.sql: SqlConfig = source.sql

    def names(self) -> list[str]:
        if self.sql.watermark is None:
            return [ALL]
        before = self.ingested()
        names = sorted(before, key=lambda name: bounds(name)[1]) if before else []
        above = last_mark(before)
        with connection(database_url(self.sql)) as open_connection:
            last = _complete(open_connection, self.sql, above)
            while last is not None and above != last:
                upto = _end_of_batch(open_connection, self.sql, above, self.source.batch_rows, last)
                names.append(batch_name(above, upto))
                above = upto
        return names

    def read(self, name: str) -> Batch:
        frame = self.raw(name)
        rows, unread = read_columns(frame, self.columns, self.source, f"{shown(database_url(self.sql))}, batch {name}")
        return Batch(rows, unread=tuple(unread))

    def raw(self, name: str, most: int | None = None) -> pl.DataFrame:
        """The rows of a batch as they come, in an order of their own; at most ``most`` of the first."""
        query = _rows(self.sql)
        if self.sql.watermark is not None:
            mark = _mark(self.sql)
            above, upto = bounds(name)
            query = query.where(mark <= upto).order_by(mark)
            if above is not None:
                query = query.where(mark > above)
        if most is not None:
            query = query.limit(most)
        url = database_url(self.sql)
        with connection(url) as open_connection:
            # a server-side cursor, where there is one: rows come in pieces
            found = open_connection.execution_options(yield_per=PIECE).execute(query)
            names = list(found.keys())
            if unique_names(names) != names:
                raise DataError("The query gives two columns of one name, or one without.", where=shown(url),
                                found=", ".join(names), next_step="name them apart in the query, with AS")  # fmt: skip
            pieces = [_frame(names, rows) for rows in found.partitions(PIECE)]
        return _in_order(_joined(names, pieces), self.sql.watermark)


def _rows(sql: SqlConfig) -> Select[Any]:
    import sqlalchemy

    # a colon of the query is no parameter of ours
    text = sqlalchemy.text(f"({sql.query.replace(':', chr(92) + ':')}) AS penstock_rows")
    return sqlalchemy.select(sqlalchemy.literal_column("*")).select_from(text)


def _mark(sql: SqlConfig) -> Any:
    import sqlalchemy

    return sqlalchemy.column(str(sql.watermark))


def _complete(open_connection: Connection, sql: SqlConfig, above: Any) -> Any:
    """The highest mark but one: nothing more comes at or below it, if the watermark keeps its promise."""
    import sqlalchemy

    mark = _mark(sql)
    source = _rows(sql).get_final_froms()
    newest = open_connection.execute(sqlalchemy.select(sqlalchemy.func.max(mark)).select_from(*source)).scalar()
    if newest is None:
        return None
    query = sqlalchemy.select(sqlalchemy.func.max(mark)).select_from(*source).where(mark < newest)
    if above is not None:
        query = query.where(mark > above)
    return open_connection.execute(query).scalar()


def _end_of_batch(open_connection: Connection, sql: SqlConfig, above: Any, size: int, last: Any) -> Any:
    """The mark of the ``size``-th row above ``above``, or ``last`` if there are fewer."""
    import sqlalchemy

    mark = _mark(sql)
    query = sqlalchemy.select(mark).select_from(*_rows(sql).get_final_froms()).where(mark <= last)
    if above is not None:
        query = query.where(mark > above)
    found = open_connection.execute(query.order_by(mark).offset(size - 1).limit(1)).scalar()
    return last if found is None else found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, KEPT):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str, sort_keys=True)
    return value.hex() if isinstance(value, bytes | memoryview) else str(value)


def _frame(names: list[str], rows: Any) -> pl.DataFrame:
    """Rows of a database as columns; one of several types that are not all numbers is text."""
    import polars as pl

    taken = []
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        values = [_plain(value) for value in column]
        kinds = {type(value) for value in values if value is not None}
        if decimal.Decimal in kinds and kinds <= {decimal.Decimal, int, float}:
            values = [None if value is None else float(value) for value in values]
        elif len(kinds) > 1 and not kinds <= {int, float}:
            values = [None if value is None else str(value) for value in values]
        series = pl.Series(name, values, strict=False)
        if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        taken.append(series)
    return pl.DataFrame(taken)


def _joined(names: list[str], pieces: list[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    if not pieces:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    for name in names:
        kinds = {piece.schema[name] for piece in pieces} - {pl.Null()}
        if len(kinds) > 1 and not all(kind.is_numeric() for kind in kinds):
            pieces = [piece.with_columns(pl.col(name).cast(pl.String)) for piece in pieces]
    return pl.concat(pieces, how="vertical_relaxed")


def _in_order(frame: pl.DataFrame, watermark: str | None) -> pl.DataFrame:
    """By mark, then by every other column: a database promises no order, and a dataset's version has one."""
    first = [watermark] if watermark in frame.columns else []
    order = [*first, *(name for name in frame.columns if name not in first)]
    return frame.sort(order, nulls_last=True, maintain_order=True) if order else frame
