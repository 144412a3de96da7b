"""Reads rows from a JSON body: one object of fields, or a list of them."""

from __future__ import annotations

import json
from typing import Any

from bentos.refusal import Refusal
from penstock.rows import LONGEST_NAME, SHOWN, Problem, RowErrors

SMALL = 65_536  # bytes that cannot become much, whatever they are
NESTED = 10  # values beside its fields that a row may have on average, in fields that are ignored


def rows(body: bytes, most: int, fields: int) -> list[Any]:
    """The rows, of which any may still be wrong. Raises Refusal, and RowErrors for a field that stands twice.

    ``most``: rows; ``fields``: that a row may have.
    """
    import orjson

    if len(body) > SMALL:
        _refuse_swelling(body, most * (fields + NESTED))
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, "malformed JSON", found=str(error)[:200]) from None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not found:
        raise Refusal(422, "no rows", allowed="an object of fields, or a list of such objects")
    if len(found) > most:
        raise Refusal(413, "too many rows", found=len(found), allowed=f"{most} rows")
    if not _plain(body, found):
        _refuse_doubled(body)
    return found


def _refuse_swelling(body: bytes, most: int) -> None:
    """Raise Refusal for many more values than ``most`` good rows could have: `[],` is three bytes, and a list is 56."""
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > most:
        raise Refusal(413, "too many values", found=f"about {values}", allowed=f"{most} values")


def _plain(body: bytes, found: list[Any]) -> bool:
    """Whether no field can stand twice. Of two equal fields the parser keeps the last without a word, but each has a
    colon: with as many colons outside of texts as there are fields, there was none. Counting costs next to nothing.
    """
    colons = body.count(b":")
    fields = sum(len(row) for row in found if isinstance(row, dict))
    if colons == fields:
        return True
    if b"\\u00" in body:  # a colon may be written as an escape, and would hide another one
        return False
    within = 0
    for row in found:
        if isinstance(row, dict):
            for name, value in row.items():
                within += name.count(":") + (value.count(":") if isinstance(value, str) else 0)
    return colons == fields + within


class _Doubled(str):
    """In place of an object: the field that stands twice in it."""

    __slots__ = ()


def _refuse_doubled(body: bytes) -> None:
    """Raise RowErrors if a row has a field twice. Slow, and only for bodies with unusual colons."""

    def pairs(found: list[tuple[str, Any]]) -> Any:
        row = dict(found)
        if len(row) == len(found):
            return row
        seen: set[str] = set()
        return _Doubled(next(name for name, _ in found if name in seen or seen.add(name)))  # type: ignore[func-returns-value]

    try:
        top = json.loads(body, object_pairs_hook=pairs)
    except RecursionError:
        raise Refusal(400, "malformed JSON", found="nested too deeply") from None
    doubled = [
        Problem(number, str(row)[:LONGEST_NAME], "stands twice")
        for number, row in enumerate(top if isinstance(top, list) else [top])
        if isinstance(row, _Doubled)
    ]
    if doubled:
        raise RowErrors(doubled[:SHOWN], len(doubled))
