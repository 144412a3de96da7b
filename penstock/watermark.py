"""Batches of a growing table: each is the rows between two marks, and its name says which.

`FROM_to_UPTO`, where FROM is the mark of the batch before, or `start`. A mark is a letter for its type and its value;
what may not be in a file's name stands as `_` and two hexadecimal digits for each byte. So a batch's name alone says
which rows it has: above FROM, up to UPTO and with it.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from penstock.errors import DataError

START = "start"
NAME = re.compile(r"(?P<above>start|[idtzs][A-Za-z0-9._-]+?)_to_(?P<upto>[idtzs][A-Za-z0-9._-]+)")
LONGEST = 100


def batch_name(above: Any, upto: Any) -> str:
    """The name of the rows above ``above`` (None: from the first) up to ``upto``. Raises DataError for another type."""
    name = f"{START if above is None else _mark(above)}_to_{_mark(upto)}"
    if len(name) > LONGEST:
        raise DataError("The watermark's values are too long.", found=str(upto)[:80], allowed="a time or a number")
    return name


def bounds(name: str) -> tuple[Any, Any]:
    """``(above, upto)`` of a batch. Raises DataError if the name is none."""
    match = NAME.fullmatch(name)
    if not match:
        raise DataError(f"There is no batch `{name}`.", allowed="FROM_to_UPTO, as `penstock plan` shows them")
    above = match["above"]
    return (None if above == START else _value(above)), _value(match["upto"])


def last_mark(names: set[str]) -> Any:
    """The highest mark of the batches ``names``; None if there is none."""
    marks = [bounds(name)[1] for name in names if NAME.fullmatch(name)]
    return max(marks) if marks else None


def _mark(value: Any) -> str:
    kind, text = _plain(value)
    safe = "".join(sign if re.fullmatch(r"[A-Za-z0-9.-]", sign) else _escaped(sign) for sign in text)
    return kind + safe


def _escaped(sign: str) -> str:
    return "".join(f"_{byte:02X}" for byte in sign.encode())


def _plain(value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        pass
    elif isinstance(value, int):
        return "i", f"{value:019}"  # so that files are in the order of their rows
    elif isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            return "z", value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat()
        return "t", value.isoformat()
    elif isinstance(value, datetime.date):
        return "d", value.isoformat()
    elif isinstance(value, str) and value:
        return "s", value
    raise DataError(
        "The watermark has values that are in no order, or none.",
        found=f"{type(value).__name__}: {value!r}"[:80],
        allowed="times, dates, whole numbers, or text; without nulls",
        next_step="name another column under `data.source.sql.watermark`, or leave nulls out in the query",
    )


def _value(mark: str) -> Any:
    text = re.sub(r"(?:_[0-9A-F]{2})+", lambda found: bytes.fromhex(found[0].replace("_", "")).decode(), mark[1:])
    if mark[0] == "i":
        return int(text)
    if mark[0] == "d":
        return datetime.date.fromisoformat(text)
    if mark[0] in "tz":
        value = datetime.datetime.fromisoformat(text)
        return value.replace(tzinfo=datetime.UTC) if mark[0] == "z" else value
    return text
