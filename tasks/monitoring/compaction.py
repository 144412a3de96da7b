"""Makes a table of served predictions out of segments of the prediction log.

polars parses the JSON lines by itself wherever the rows have the types of the schema, which those that a server
answered have; a segment with others (hashed fields, Arrow requests) is parsed record by record.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.collected import Counts
from penstock.prediction_log import records
from penstock.refs import FileRef
from penstock.served import FIXED, PRODUCTION, column_of, fixed_of
from penstock.task_type import TaskName
from tasks.store import store

if TYPE_CHECKING:
    import polars as pl

PIECE = 32 << 20  # bytes that are parsed at once
ONE, MANY = b'"request":{', b'"request":['
OK = b'"status":200,'


class Compacted:
    """What came out of some segments: the table, counts, the first and last time, rows by release."""

    def __init__(self) -> None:
        self.rows: FileRef | None = None
        self.since = self.until = 0
        self.models: Counter[str] = Counter()
        self.requests = self.answered = self.replayed = self.copies = 0
        self.refused: Counter[str] = Counter()

    @property
    def counts(self) -> Counts:
        return Counts(
            requests=self.requests,
            rows=self.answered,
            refused=dict(self.refused),
            replayed=self.replayed,
            copies=self.copies,
        )


def compact(paths: Iterable[Path], kinds: Mapping[str, str], *, replayed: bool, task: TaskName = "binary") -> Compacted:
    """The production traffic of some closed segments. ``kinds``: the polars type of each field that is kept.

    ``replayed``: whether requests that a deploy flow sent count as traffic. Written to one Parquet file in pieces, so
    that memory does not grow with the window. Raises StorageError if a segment cannot be read.
    """
    import pyarrow.parquet as pq

    found = Compacted()
    writer: pq.ParquetWriter | None = None
    with store.new_file("served.parquet") as draft:
        for path in paths:
            for lines in _pieces(path):
                frame = _frame(lines, kinds, found, replayed, task)
                if frame is None or frame.is_empty():
                    continue
                table = frame.to_arrow()
                writer = writer or pq.ParquetWriter(draft.path, table.schema, compression="zstd")
                writer.write_table(table)
                found.answered += frame.height
                found.models.update(dict(frame.group_by("model").len().iter_rows()))
        if writer is not None:
            writer.close()
    if writer is not None:
        found.rows = draft.ref
    return found


def _pieces(path: Path) -> Iterator[list[bytes]]:
    with store.readable_errors(path), path.open("rb") as file:
        while lines := file.readlines(PIECE):
            yield lines


def _frame(
    lines: list[bytes], kinds: Mapping[str, str], found: Compacted, replayed: bool, task: TaskName
) -> pl.DataFrame | None:
    """The rows of these records; what is no row is counted."""
    kept = [line for line in lines if _counted(line, found, replayed)]
    if not kept:
        return None
    try:
        # classes are fields of the answer, and other ones in each release
        frame = _parsed(kept, kinds, task) if task != "multiclass" else None
    except ValueError:  # polars' own errors are ValueErrors of a kind: a field that is not of its type
        frame = None
    return frame if frame is not None else _one_by_one(kept, kinds, task)


def _counted(line: bytes, found: Compacted, replayed: bool) -> bool:
    """Whether a record's rows are traffic of production; counts the record."""
    head = line[:400]
    if b'"environment":"production"' not in head:
        return False
    if b'"shadow":true' in head:
        found.copies += 1
        return False
    if b'"replay":true' in head and not replayed:
        found.replayed += 1
        return False
    found.requests += 1
    time = int(head[head.index(b":") + 1 : head.index(b",")])
    found.since = min(found.since or time, time)
    found.until = max(found.until, time)
    if OK in head:
        return True
    (record,) = records([line])
    found.refused[str(record.answer.get("error", record.status))] += 1
    return False


def _parsed(lines: list[bytes], kinds: Mapping[str, str], task: TaskName) -> pl.DataFrame | None:
    """All rows, parsed by polars; None if some request is neither an object nor a list of them."""
    import polars as pl

    one = [line for line in lines if ONE in line[:400]]
    many = [line for line in lines if MANY in line[:400]]
    if len(one) + len(many) < len(lines):
        return None
    fields = pl.Struct({name: _json_type(kind) for name, kind in kinds.items()})
    parts = [_read(one, fields, task), _read(many, pl.List(fields), task)]
    return _shaped(pl.concat([part for part in parts if part is not None]), kinds, task)


def _read(lines: list[bytes], request: Any, task: TaskName) -> pl.DataFrame | None:
    import polars as pl

    if not lines:
        return None
    answer: dict[str, Any] = {"predictions": pl.List(pl.Boolean), "probabilities": pl.List(pl.Float32)}
    if task == "regression":
        answer = {"predictions": pl.List(pl.Float32)}
    schema = {
        "time_ns": pl.Int64,
        "id": pl.String,
        "model": pl.String,
        "request": request,
        "response": pl.Struct(answer),
    }
    frame = pl.read_ndjson(io.BytesIO(b"".join(lines)), schema=schema).unnest("response")
    if task == "regression":
        frame = frame.with_columns(probabilities="predictions")
    if not isinstance(request, pl.List):
        frame = frame.with_columns(pl.concat_list("request"))
    return frame.with_columns(row=pl.int_ranges(pl.col("request").list.len()))


def _one_by_one(lines: list[bytes], kinds: Mapping[str, str], task: TaskName) -> pl.DataFrame:
    import polars as pl

    rows = [
        {
            "time_ns": record.time_ns,
            "id": record.id,
            "model": record.model,
            "predictions": decision,
            "probabilities": max(score.values()) if isinstance(score, dict) else score,
            "row": number,
            "request": {name: row.get(name) for name in kinds},
        }
        for record in records(lines)
        for number, (row, score, decision) in enumerate(
            zip(record.rows or [{}] * len(record.scores), record.scores, record.decisions, strict=True)
        )
    ]
    frame = pl.DataFrame(rows, strict=False, infer_schema_length=None)
    listed = [pl.concat_list(name) for name in ("request", "row", "predictions", "probabilities")]
    return _shaped(frame.with_columns(listed), kinds, task)


def _shaped(frame: pl.DataFrame, kinds: Mapping[str, str], task: TaskName) -> pl.DataFrame:
    """One line a row, in the columns of `penstock/served.py`."""
    import polars as pl

    rows = frame.explode("request", "row", "predictions", "probabilities")
    fields = rows["request"].struct.unnest()
    names = [name for name in kinds if name in fields.columns]
    fixed = rows.select(
        request_id=pl.col("id"),
        row=pl.col("row").cast(pl.Int64),
        time_ns=pl.col("time_ns"),
        model=pl.col("model"),
        environment=pl.lit(PRODUCTION),
        score=pl.col("probabilities").cast(pl.Float32),
        decision=pl.col("predictions").cast(getattr(pl, fixed_of(task)["decision"])),
    )
    assert set(fixed.columns) == set(FIXED)
    typed = fields.select(
        pl.col(name).cast(getattr(pl, kinds[name]), strict=False).alias(column_of(name)) for name in names
    )
    return pl.concat([fixed, typed], how="horizontal")


def _json_type(kind: str) -> Any:
    """What a field is parsed as: a whole number may have been sent as 3.0."""
    import polars as pl

    return {"String": pl.String, "Boolean": pl.Boolean}.get(kind, pl.Float64)
