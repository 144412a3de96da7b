"""Reads rows from an Arrow IPC stream, and writes answers as one. pyarrow is imported by the first such request.

A stream is read as something that a stranger made: compressed buffers are refused, because a small body may hold
gigabytes; a stream without its end mark is refused, because a cut-off one has fewer rows; the columns that the model
takes are validated in full before they are looked at, and the others are not even loaded.
"""

from __future__ import annotations

import struct
from typing import Any

from bentos.refusal import Refusal
from penstock.column_arrays import Coded, Given, Numbers, Times
from penstock.rows import LONGEST_NAME, Problem, RowErrors
from penstock.times import moments_of_unit

Columns = dict[str, Given]
CONTINUES = b"\xff\xff\xff\xff"
DICTIONARY_BATCH, RECORD_BATCH = 2, 3  # of the format's union MessageHeader
TOO_LONG = "the texts of one column have more than {} bytes"


def columns(body: bytes, most: int, limit: int, names: tuple[str, ...], allowed: frozenset[str]) -> tuple[Columns, int]:
    """(the columns ``names`` as far as they are there, rows). Raises Refusal or RowErrors.

    ``most``: rows; ``limit``: bytes of the texts of one column.
    """
    import pyarrow as pa

    try:
        _check_messages(body)
        with pa.ipc.open_stream(body) as stream:
            found = stream.schema.names
        _check_names(found, allowed)
        wanted = [number for number, name in enumerate(found) if name in names]
        options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
        rows, batches = 0, []
        with pa.ipc.open_stream(body, options=options) as stream:
            for batch in stream:
                rows += batch.num_rows
                if rows > most:
                    raise Refusal(413, "too many rows", found=f"{rows} or more", allowed=f"{most} rows")
                for column in batch.columns:
                    _check_views(column.dictionary if pa.types.is_dictionary(column.type) else column, limit)
                batch.validate(full=True)
                batches.append(batch)
            table = pa.Table.from_batches(batches, stream.schema)
        if not rows:
            raise Refusal(422, "no rows", allowed="a stream of at least one row")
        return {name: _column(name, table.column(name), limit) for name in table.column_names}, rows
    except pa.ArrowMemoryError:  # no lack of memory: a length that was made up
        raise Refusal(400, "malformed Arrow stream", found="a buffer that is larger than the memory") from None
    except (ValueError, OSError, struct.error, pa.ArrowException) as error:
        if isinstance(error, RowErrors):
            raise
        raise Refusal(400, "malformed Arrow stream", found=" ".join(str(error).split())[:200]) from None


def as_rows(columns: Columns) -> list[dict[str, Any]]:
    """The same as a list of rows."""
    values = [column.as_list() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def answer(columns: dict[str, Any], unknown: dict[str, int], model: str, identity: str) -> bytes:
    """A stream of one batch of ``columns``. What else is to say is the schema's metadata."""
    import orjson
    import pyarrow as pa

    batch = pa.record_batch(columns)
    facts = {"model": model, "request_id": identity, "unknown_categories": orjson.dumps(unknown)}
    batch = batch.replace_schema_metadata(facts)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def _check_messages(body: bytes) -> None:
    """Walk over the messages without decoding them. Raises ValueError or struct.error if they are malformed."""
    at = 0
    while True:
        if body[at : at + 4] != CONTINUES:
            raise ValueError(f"no message begins at byte {at}: cut off, or not an IPC stream")
        (size,) = struct.unpack_from("<i", body, at + 4)
        if size == 0:
            break
        start = at + 8
        message = _place(body, start, start)
        kind, header = _member(body, message, 1), _member(body, message, 2)
        length = _member(body, message, 3)
        (held,) = struct.unpack_from("<q", body, length) if length else (0,)
        if size < 0 or held < 0:
            raise ValueError(f"the message at byte {at} has a negative length")
        (holds,) = struct.unpack_from("<B", body, kind) if kind else (0,)
        if header and holds in (DICTIONARY_BATCH, RECORD_BATCH):
            batch = _place(body, header, header)
            if holds == DICTIONARY_BATCH:
                data = _member(body, batch, 1)
                batch = _place(body, data, data) if data else 0
            if batch and _member(body, batch, 3):
                raise ValueError("its buffers are compressed; send it without compression")
        at = start + size + held
    if at + 8 != len(body):
        raise ValueError(f"{len(body) - at - 8} bytes after the end of the stream")


def _place(body: bytes, at: int, base: int) -> int:
    """Where the table is that the offset at ``at`` leads to."""
    place: int = base + struct.unpack_from("<I", body, at)[0]
    return place


def _member(body: bytes, table: int, number: int) -> int:
    """Where a flatbuffers table has its member ``number``; 0 if it does not have it."""
    (back,) = struct.unpack_from("<i", body, table)
    layout = table - back
    if layout < 0:
        raise ValueError("a table lies outside of its message")
    (size,) = struct.unpack_from("<H", body, layout)
    place = 4 + 2 * number
    if place + 2 > size:
        return 0
    (offset,) = struct.unpack_from("<H", body, layout + place)
    return table + offset if offset else 0


def _check_names(found: list[str], allowed: frozenset[str]) -> None:
    problems = [(name, "is not a field of this model") for name in found if name not in allowed]
    problems += [(name, "stands twice") for name in sorted({name for name in found if found.count(name) > 1})]
    if problems:
        shown = [Problem(0, name[:LONGEST_NAME], message) for name, message in problems[:20]]
        raise RowErrors(shown, len(problems))


def _check_views(column: Any, most: int) -> None:
    """Views may overlap, so that few bytes are very long texts. Raises ValueError."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_string_view(column.type):
        column.validate()  # that the buffer is as long as the views
        lengths = np.frombuffer(column.buffers()[1] or b"", np.int32)[: 4 * len(column) : 4]
        if int(lengths.astype(np.int64).sum()) > most:
            raise ValueError(TOO_LONG.format(most))


def _column(name: str, column: Any, limit: int) -> Given:
    import numpy as np
    import pyarrow as pa

    array, kind = column.combine_chunks(), column.type
    if pa.types.is_null(kind):
        return Coded([], np.full(len(array), -1))
    if pa.types.is_boolean(kind):
        return Coded([False, True], array.cast(pa.int8()).fill_null(-1).to_numpy())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if pa.types.is_float16(kind):
            array = array.cast(pa.float32())
        missing = array.is_null().to_numpy(zero_copy_only=False)
        return Numbers((array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False), missing)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if pa.types.is_date(kind):
            array = array.cast(pa.timestamp("ms"))
        missing = array.is_null().to_numpy(zero_copy_only=False)
        whole = array.cast(pa.int64()).fill_null(0).to_numpy()
        return Times(moments_of_unit(whole, array.type.unit, missing))
    coded = pa.types.is_dictionary(kind)
    values = kind.value_type if coded else kind
    if pa.types.is_string_view(values) and coded:
        array = pa.DictionaryArray.from_arrays(array.indices, array.dictionary.cast(pa.large_string()))
    elif pa.types.is_string_view(values):
        array = array.cast(pa.large_string())
    elif not (pa.types.is_string(values) or pa.types.is_large_string(values)):
        said = f"must be numbers, texts, truth values or times, not {str(kind)[:60]}"
        raise RowErrors([Problem(0, name, said)], 1)
    if not coded:
        array = array.dictionary_encode()
    index = array.indices.cast(pa.int64()).fill_null(-1).to_numpy()
    if array.dictionary.null_count:  # a null may also be a value of the dictionary
        empty = np.flatnonzero(array.dictionary.is_null().to_numpy(zero_copy_only=False))
        index = np.where(np.isin(index, empty), -1, index)
    used, counts = np.unique(index[index >= 0], return_counts=True)  # a dictionary may be much larger than the rows
    distinct = array.dictionary.take(pa.array(used)).to_pylist()
    if sum(len(text) * count for text, count in zip(distinct, counts.tolist(), strict=True)) > limit:
        raise ValueError(TOO_LONG.format(limit))
    return Coded(distinct, np.where(index < 0, -1, np.searchsorted(used, index)))
