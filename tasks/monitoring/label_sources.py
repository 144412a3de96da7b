"""Reads labels from a CSV or Parquet file, or with a query from a database (SQLAlchemy).

No password is ever part of an argument: arguments are seen by everybody on a machine, and kept by Prefect. A
database's URL comes without one; the environment has it, as PENSTOCK_SQL_PASSWORD. Neither errors nor the ledger name
more of a URL than driver, host and database.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import ConfigError, DataError
from penstock.refs import Value
from penstock.source_config import has_secret
from tasks.data.database import PASSWORD, connection, parsed, shown

if TYPE_CHECKING:
    import polars as pl
    from sqlalchemy import URL


class LabelSource(Value):
    """Where labels are: a ``file``, or a database's ``sql`` URL and a ``query``."""

    file: str = ""
    sql: str = ""
    query: str = ""

    def __str__(self) -> str:
        return shown(_url(self.sql)) if self.sql else Path(self.file).name


def require_source(source: LabelSource) -> None:
    """Raise ConfigError unless it names one place, without a secret."""
    if bool(source.file) == bool(source.sql) or bool(source.sql) != bool(source.query):
        raise ConfigError(
            "Where the labels are is not clear.",
            allowed="a FILE (.csv or .parquet), or --sql URL with --query SELECT",
            next_step="penstock label --help",
        )
    if source.sql:
        url = _url(source.sql)
        if url.password is not None or has_secret(source.sql):
            raise ConfigError(
                "The database's URL has a secret in it, which others can read there.",
                where=shown(url),
                allowed=f"a URL without a password; the environment variable {PASSWORD} has it",
                next_step="take it out of the URL, and change it: it may have been seen",
            )


def read_labels(source: LabelSource) -> pl.DataFrame:
    """The table as it is; CSV as text. Raises ConfigError for a place that is none, DataError if it cannot be read."""
    require_source(source)
    return _from_database(source) if source.sql else _from_file(Path(source.file))


def _from_file(path: Path) -> pl.DataFrame:
    import polars as pl

    readers = {".csv": lambda: pl.read_csv(path, infer_schema=False), ".parquet": lambda: pl.read_parquet(path)}
    if path.suffix not in readers:
        raise ConfigError("The labels' file is of no known kind.", where=str(path), allowed=", ".join(readers))
    try:
        return readers[path.suffix]()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            "The labels cannot be read.",
            where=str(path),
            found=str(error).splitlines()[0][:300],
            next_step="correct the file or its name",
        ) from None


def _from_database(source: LabelSource) -> pl.DataFrame:
    import polars as pl
    import sqlalchemy

    url, secret = _url(source.sql), os.environ.get(PASSWORD, "")
    with connection(url.set(password=secret) if secret else url) as open_connection:
        found = open_connection.execute(sqlalchemy.text(source.query))
        names, rows = list(found.keys()), [tuple(row) for row in found]
    if len(set(names)) != len(names):
        raise DataError("The query gives two columns of one name.", where=shown(url), found=", ".join(names))
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def _url(text: str) -> URL:
    return parsed(text, "--sql")
