"""Reads what is to be scored, a batch of rows at a time: Parquet, CSV, or a version of the project's dataset."""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.config import Project
from penstock.errors import DataError
from penstock.refs import DataFile
from tasks.cluster import pieces
from tasks.cluster.pieces import Piece
from tasks.data.cluster_files import outside
from tasks.data.data import dataset_paths, resolve_dataset
from tasks.machine.settings import settings

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

ROWS = 131_072  # at once
BLOCK = 16 << 20  # bytes of a CSV that are parsed at once
DATASET, CURRENT = "dataset:", "data"
KINDS = (".parquet", ".csv", ".csv.gz")
ALLOWED = "a .parquet, .csv or .csv.gz file, a folder of .parquet files, a pattern in quotes, data, or dataset:VERSION"


@dataclass(frozen=True)
class Rows:
    """Files of one kind, in order. ``text``: CSV, in which everything is text. ``dataset``: they are those of one."""

    files: tuple[Path, ...]
    text: bool
    dataset: tuple[DataFile, ...] = ()

    @functools.cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """All of the rows, in order; none of a CSV, which is read from its beginning."""
        found: list[Piece] = []
        for number, path in enumerate(() if self.text else self.files):
            with _readable(path):
                found += pieces.cut(self.dataset[number] if self.dataset else outside(path), path)
        return tuple(found)

    def count(self) -> int | None:
        """How many rows there are; None where only reading tells."""
        return None if self.text else sum(piece.rows for piece in self.pieces)

    def types(self, file: Path) -> dict[str, pl.DataType]:
        """The columns of a file. Raises DataError if it cannot be read, or if a name stands twice."""
        import polars as pl
        import pyarrow.parquet as pq

        with _readable(file):
            schema = None if self.text else pq.read_schema(file)
            names = schema.names if schema is not None else _header(file)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError("A column stands twice.", where=str(file), found=", ".join(twice))
        if schema is None:
            return dict.fromkeys(names, pl.String())
        return dict(pl.DataFrame(pl.from_arrow(schema.empty_table())).schema)

    def read(self, columns: list[str]) -> Iterator[pl.DataFrame]:
        """All rows in order, at most ROWS at a time. Raises DataError if a file turns out damaged."""
        import polars as pl

        for piece in self.pieces:
            with _readable(Path(piece.path)):
                for frame in pieces.batches(piece, ROWS, columns):
                    yield frame.select(columns)
        for path in self.files if self.text else ():
            with _readable(path), _csv(path, columns) as reader:
                for batch in reader:
                    yield from pl.DataFrame(pl.from_arrow(batch)).iter_slices(ROWS)


def find_rows(project: Project, source: str) -> Rows:
    """The files that ``source`` names. Raises DataError if there are none, or if they are of different kinds."""
    if source == CURRENT or source.startswith(DATASET):
        dataset = resolve_dataset.fn(project.data, source.removeprefix(DATASET) if source != CURRENT else "")
        return Rows(tuple(dataset_paths(dataset)), text=False, dataset=dataset.files)
    path = Path(source)
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
    elif path.exists():
        files = [path]
    else:
        files = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    files = [file for file in files if not file.name.startswith((".", "_"))]
    if not files:
        raise DataError("There is nothing to score.", where=source, allowed=ALLOWED, next_step="correct the name")
    kinds = {next((kind for kind in KINDS if file.name.endswith(kind)), "") for file in files}
    if "" in kinds or (len(kinds) > 1 and ".parquet" in kinds):
        raise DataError(
            "These are no files that can be scored together.",
            where=source,
            found=", ".join(file.name for file in files[:3]),
            allowed=ALLOWED,
        )
    return Rows(tuple(files), text=".parquet" not in kinds)


def absolute(name: str, folder: Path | None = None) -> str:
    """``name`` as a path below ``folder`` (the checkout, if none is given), unless it is a dataset's."""
    if name == CURRENT or name.startswith(DATASET):
        return name
    return os.path.abspath((folder or settings().root) / name)  # noqa: PTH100  # a link's name stays what it is


def ahead(items: Iterable[T], most: int = 1) -> Generator[T, None, None]:
    """The same items, the next ones made in a thread while the caller works; at most ``most`` of them wait."""
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(most)
    ended = threading.Event()

    def put(kind: str, item: Any) -> None:
        while not ended.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put((kind, item), timeout=0.1)
                break

    def run() -> None:
        try:
            for item in items:
                put("item", item)
                if ended.is_set():
                    return
            put("end", None)
        except BaseException as error:  # noqa: BLE001  # the caller gets it
            put("error", error)

    thread = threading.Thread(target=run, name="score-reader", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                raise item
            yield item
    finally:
        ended.set()
        thread.join()


def _header(path: Path) -> list[str]:
    from pyarrow import csv

    with csv.open_csv(path) as reader:
        return list(reader.schema.names)


def _csv(path: Path, columns: list[str]) -> Any:
    """A streaming reader in which every column is text; an empty cell is null."""
    import pyarrow as pa
    from pyarrow import csv

    return csv.open_csv(
        path,
        read_options=csv.ReadOptions(block_size=BLOCK),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            include_columns=columns,
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what pyarrow and the system say of a file that cannot be read into DataError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise DataError(
            "The rows cannot be read.",
            where=str(path),
            found=" ".join(str(error).split())[:300],
            allowed=ALLOWED,
            next_step="write the file again: nothing was scored",
        ) from None
