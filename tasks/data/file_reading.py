"""Rows of one plain local file, in pieces: CSV and JSON lines as text, Parquet and Arrow with their types."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.errors import DataError
from penstock.reading import unique_names
from penstock.source_config import SourceConfig
from tasks.data.source_files import readable

if TYPE_CHECKING:
    import polars as pl

HEAD = 1 << 22  # characters in which the header ends


def read_rows(path: Path, source: SourceConfig, where: str, start: int = 0, count: int | None = None) -> pl.DataFrame:
    """Rows ``start`` .. ``start + count`` under their own names, made unique. Raises DataError if they cannot be read.

    Rows without any value, such as a blank line, are left out.
    """
    with readable(where), _told(path, source, where):
        if source.format == "jsonl":
            frame = _json_rows(path, where, start, count)
        else:
            frame = _scan(path, source, where).slice(start, count).collect(engine="streaming")
        return _without_blank(frame, source)


def read_pieces(path: Path, source: SourceConfig, where: str, rows: int) -> Iterator[pl.DataFrame]:
    """All rows as `read_rows` has them, about ``rows`` at a time and in any order, so that memory stays bounded."""
    with readable(where), _told(path, source, where):
        if source.format == "jsonl":
            lines = _json_lines(path, where)
            while chunk := list(itertools.islice(lines, rows)):
                yield _without_blank(_json_frame(chunk), source)
        else:
            for frame in _scan(path, source, where).collect_batches(chunk_size=rows, lazy=True, maintain_order=False):
                yield _without_blank(frame, source)


@contextlib.contextmanager
def _told(path: Path, source: SourceConfig, where: str) -> Iterator[None]:
    """Names the line that polars could not read, if the file is CSV."""
    import polars as pl

    try:
        yield
    except pl.exceptions.PolarsError:
        if source.format == "csv":
            _require_records(path, source, where)
        raise


def _require_records(path: Path, source: SourceConfig, where: str) -> None:
    """Raise DataError for the first record of more values than there are columns, or whose quote has no end."""
    number, width = 1, 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = csv.reader(file, delimiter=source.separator, quotechar=source.quote, strict=True)
        try:
            for record in records:
                width = width or len(record)
                if len(record) > width:
                    raise DataError(
                        "A line has more values than there are columns.",
                        where=f"{where}:{number}",
                        found=f"{len(record)}: {source.separator.join(record)[:80]}",
                        allowed=f"{width}; a value that has {source.separator!r} in it stands in quotes",
                        next_step="mend the line, or correct `data.source.separator`",
                    )
                number = records.line_num + 1
        except csv.Error as error:
            raise DataError(
                "A quote has no end, or something stands behind it.",
                where=f"{where}:{number}",
                found=str(error),
                allowed="quotes around a whole value, and two for one within",
                next_step="mend the line, or correct `data.source.quote`",
            ) from None


def _without_blank(frame: pl.DataFrame, source: SourceConfig) -> pl.DataFrame:
    """Without rows that have no value at all; a file of one column keeps them."""
    import polars as pl

    if frame.width < 2:
        return frame
    blank = pl.col(pl.String).str.strip_chars() == ""
    gaps = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if source.format == "csv" and not gaps.any():
        gaps = frame.select(pl.all_horizontal(blank.fill_null(True))).to_series()
    return frame.filter(~gaps) if gaps.any() else frame


def count_rows(path: Path, source: SourceConfig, where: str) -> int:
    """How many rows the file has, blank lines included."""
    import polars as pl

    with readable(where), _told(path, source, where):
        if source.format == "jsonl":
            return sum(1 for _ in _json_lines(path, where))
        return int(_scan(path, source, where).select(pl.len()).collect(engine="streaming").item())


def _scan(path: Path, source: SourceConfig, where: str) -> pl.LazyFrame:
    import polars as pl

    if source.format == "parquet":
        return pl.scan_parquet(path, glob=False)
    if source.format == "arrow":
        return pl.scan_ipc(path)
    first, blank = first_record(path, source, where)
    names = unique_names(first if source.header else [""] * len(first))
    return pl.scan_csv(
        path,
        has_header=False,
        schema=dict.fromkeys(names, pl.String),
        skip_rows=1 + blank if source.header else 0,
        separator=source.separator,
        quote_char=source.quote,
        glob=False,
    )


def first_record(path: Path, source: SourceConfig, where: str) -> tuple[list[str], int]:
    """The first line of a CSV file, which may have breaks within quotes, and how many blank ones follow it.

    Raises DataError if there is none.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = io.StringIO(file.read(HEAD), newline="")
    records = csv.reader(head, delimiter=source.separator, quotechar=source.quote)
    first = next(records, [])
    if not any(value.strip() for value in first):
        raise DataError("The file is empty, or begins with a blank line.", where=where,
                        next_step="take out the lines before the header, or name a file that has rows")  # fmt: skip
    return first, sum(1 for _ in itertools.takewhile(lambda record: not record, records))


def _json_lines(path: Path, where: str) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError("A line is no JSON.", where=f"{where}:{number}", found=str(error)[:200]) from None
            if not isinstance(row, dict):
                raise DataError("A line is no JSON object.", where=f"{where}:{number}", found=line.strip()[:80])
            yield row


def _json_rows(path: Path, where: str, start: int, count: int | None) -> pl.DataFrame:
    stop = None if count is None else start + count
    return _json_frame(itertools.islice(_json_lines(path, where), start, stop))


def _json_frame(lines: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Every value as text: types are the schema's, and a column of JSON may have several."""
    import polars as pl

    columns: dict[str, list[str | None]] = {}
    for rows, row in enumerate(lines):
        for name in row:
            if name not in columns:
                columns[name] = [None] * rows
        for name, values in columns.items():
            values.append(_text(row.get(name)))
    names = unique_names(columns)
    return pl.DataFrame(dict(zip(names, columns.values(), strict=True)), schema=dict.fromkeys(names, pl.String))


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
