"""Writes what scoring gives, batch by batch: the predictions as Parquet or CSV, and tables that only grow."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, TypeVar

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

SUFFIXES = (".parquet", ".csv")
FEW = 1000  # different texts of a column that are written once each
WAITING = 2  # batches that a worker may be behind


class ParquetTable:
    """A Parquet file that grows by frames. Nothing is there before the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def add(self, frame: pl.DataFrame) -> None:
        import polars as pl
        import pyarrow.parquet as pq

        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            # looking for repeated values among floats costs more than everything else, and makes the file larger
            repeated = [
                name for name in frame.columns if frame[name].dtype == pl.String and frame[name].n_unique() <= FEW
            ]
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd", use_dictionary=repeated)
        self._writer.write_table(table)

    def close(self) -> None:
        """Finish the file, and have it on disk."""
        if self._writer is None:
            return
        self._writer.close()
        with self._path.open("rb+") as file:
            os.fsync(file.fileno())


class CsvTable:
    """A CSV file that grows by frames."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._begun = False

    def add(self, frame: pl.DataFrame) -> None:
        frame.write_csv(self._file, include_header=not self._begun)
        self._begun = True

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def table(path: Path) -> ParquetTable | CsvTable:
    """A table of the kind that the file's name says."""
    return CsvTable(path) if path.name.endswith(".csv") else ParquetTable(path)


class Worker(Generic[T]):
    """A thread that does one thing with one batch after the other; who feeds it waits when it is WAITING behind."""

    def __init__(self, act: Callable[[T], None]) -> None:
        self._act = act
        self._pool = ThreadPoolExecutor(1)
        self._waiting: list[Future[None]] = []

    def add(self, batch: T) -> None:
        while len(self._waiting) >= WAITING:
            self._waiting.pop(0).result()
        self._waiting.append(self._pool.submit(self._act, batch))

    def finish(self) -> None:
        """Wait for the rest. Raises what the work raised."""
        for each in self._waiting:
            each.result()
        self._waiting.clear()

    def __enter__(self) -> Worker[T]:
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread; what still waits is left undone."""
        self._pool.shutdown(wait=True, cancel_futures=True)
