"""Batches of files: each file is one, or several where it is large, and is known by its content.

A file that was ingested is not ingested again, wherever it is moved to. One whose content changed in place is refused:
to take it would count its old rows twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from penstock.batch import Batch
from penstock.columns import Column
from penstock.errors import DataError
from penstock.reading import read_columns
from penstock.source_config import SourceConfig
from tasks.data.file_reading import count_rows, read_pieces, read_rows
from tasks.data.source_files import SourceFile, find_files, plain_file
from tasks.machine.settings import settings
from tasks.store.store import write_atomic

if TYPE_CHECKING:
    import polars as pl

PIECE = 20_000  # rows
BATCH = re.compile(r"(?P<file>.+)-(?P<stamp>[0-9a-f]{12})(\.p(?P<part>\d{4}))?")


class FileSource:
    """The files that a project's `data.source.files` names."""

    def __init__(self, source: SourceConfig, columns: dict[str, Column]) -> None:
        self.source, self.columns = source, columns

    def names(self) -> list[str]:
        return list(self._batches())

    def read(self, name: str) -> Batch:
        file, start, count = self._batches()[name]
        frame = self.raw(file, start, count)
        if file not in find_files(self.source.files or ""):
            raise DataError("A file changed while it was read.", where=file.url, next_step="run the command again")
        return self._typed(frame, f"{file.url}, batch {name}")

    def pieces(self) -> Iterator[Batch]:
        """The rows of all batches, PIECE or so at a time: to look at, not to keep."""
        for file in {file.stamp: file for file in reversed(find_files(self.source.files or ""))}.values():
            for frame in read_pieces(plain_file(file, self._encoding), self.source, file.url, PIECE):
                yield self._typed(frame, file.url)

    def _typed(self, frame: pl.DataFrame, where: str) -> Batch:
        if self.source.format == "jsonl":
            frame = _with_gaps(frame, self.source, self.columns)
        rows, unread = read_columns(frame, self.columns, self.source, where)
        return Batch(rows, unread=tuple(unread))

    def raw(self, file: SourceFile, start: int, count: int | None) -> pl.DataFrame:
        """Rows as they stand in the file."""
        return read_rows(plain_file(file, self._encoding), self.source, file.url, start, count)

    @property
    def _encoding(self) -> str | None:
        return self.source.encoding if self.source.format in ("csv", "jsonl") else None

    def _batches(self) -> dict[str, tuple[SourceFile, int, int | None]]:
        """For each batch its file, first row and how many rows."""
        found: dict[str, tuple[SourceFile, int, int | None]] = {}
        size = self.source.batch_rows
        seen = set()
        for file in find_files(self.source.files or ""):
            if file.stamp in seen:  # the same content under two names is one batch
                continue
            seen.add(file.stamp)
            name = f"{file.name}-{file.stamp}"
            rows = self._rows(file)
            if rows <= size:
                found[name] = (file, 0, None)
            else:
                for number, start in enumerate(range(0, rows, size), 1):
                    found[f"{name}.p{number:04}"] = (file, start, size)
        return found

    def _rows(self, file: SourceFile) -> int:
        """How many rows the file has; remembered, because it is asked for each time `penstock run` is typed."""
        how = (file.url, file.stamp, self.source.format, self.source.separator, self.source.quote,
               self.source.encoding, self.source.header)  # fmt: skip
        memory = settings().home / "sources" / f"{hashlib.sha256(repr(how).encode()).hexdigest()[:24]}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads(memory.read_bytes())["rows"])
        rows = count_rows(plain_file(file, self._encoding), self.source, file.url)
        with contextlib.suppress(OSError):
            write_atomic(memory, json.dumps({"rows": rows}).encode())
        return rows


def new_batches(names: Iterable[str], ingested: Iterable[str], source: SourceConfig) -> list[str]:
    """Those of ``names`` whose content was not ingested, under whatever name.

    Raises DataError if a file that was ingested has other content now, or if there never was one.
    """
    there = [match for name in ingested if (match := BATCH.fullmatch(name))]
    found = [match for name in names if (match := BATCH.fullmatch(name))]
    if not found and not there:
        raise DataError(
            "The source has no files.",
            where=f"data.source.files: {source.files}",
            allowed="a file, a glob or a URL; relative to the checkout",
            next_step="correct `data.source.files`, or put the files there",
        )
    known_files = {match["file"] for match in there}
    known = {match["stamp"] for match in there}
    changed = sorted({match["file"] for match in found if match["file"] in known_files and match["stamp"] not in known})
    if changed:
        raise DataError(
            "A file that was ingested has changed: its rows would be in the dataset twice.",
            where=f"data.source.files: {source.files}",
            found=", ".join(changed[:5]),
            allowed="new rows in new files",
            next_step="put the old file back, and the new rows beside it; or start over under another `data.path`",
        )
    contents = {(match["stamp"], match["part"]) for match in there}
    return [match.string for match in found if (match["stamp"], match["part"]) not in contents]


def _with_gaps(frame: pl.DataFrame, source: SourceConfig, columns: dict[str, Column]) -> pl.DataFrame:
    """JSON objects leave out what they do not have: so may a whole batch of them."""
    import polars as pl

    there = {here: name for name, here in source.rename.items()}
    wanted = [there.get(name, name) for name in columns]
    absent = [name for name in wanted if name not in frame.columns]
    return frame.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
