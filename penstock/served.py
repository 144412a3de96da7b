"""Served predictions as a table: the contract between who compacts the prediction log and who joins labels to it.

One line a row that was asked about and answered (status 200). What belongs in: rows whose answer a client could get.
Shadow copies do not, nor do rows that a deployment replayed, unless the project's only traffic is replayed.

`FIXED` comes first, in any order, never null. Then the fields of the row, as far as the log keeps them, each under
`column_of(field)` and in its schema's type, or as text; a field that was not sent, or that the log drops, is null or
absent. The same `(request_id, row, model)` may stand twice, for a request that was tried again: the latest is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import DataError
from penstock.task_type import TaskName

if TYPE_CHECKING:
    import polars as pl

FIXED = {
    "request_id": "String",
    "row": "Int64",  # from 0, in the request's order
    "time_ns": "Int64",  # when it was answered, since 1970, UTC
    "model": "String",  # the release: "flights-v3"
    "environment": "String",  # "production" or "staging"
    "score": "Float32",  # the probability of True, as the model gave it; of several classes, of the one predicted
    "decision": "Boolean",  # score >= the release's threshold; a class (String); a number (Float32: the score again)
}
PRODUCTION = "production"


def fixed_of(task: TaskName) -> dict[str, str]:
    """`FIXED` of a task type."""
    return FIXED | {"decision": {"binary": "Boolean", "multiclass": "String", "regression": "Float32"}[task]}


def column_of(field: str) -> str:
    """The column of a row's field: its name, unless that is one of `FIXED`."""
    return f"row.{field}" if field in FIXED else field


def require_served(schema: pl.Schema, where: str, fields: tuple[str, ...] = (), task: TaskName = "binary") -> None:
    """Raise DataError if a table is not one of served predictions, or lacks one of ``fields``."""
    found = {name: str(dtype) for name, dtype in schema.items()}
    wrong = [
        f"{name}: {found.get(name, 'missing')}, not {kind}"
        for name, kind in fixed_of(task).items()
        if found.get(name) != kind
    ]
    wrong += [f"{column_of(field)}: missing" for field in fields if column_of(field) not in found]
    if wrong:
        raise DataError(
            "These are not served predictions as `penstock/served.py` describes them.",
            where=where,
            found="; ".join(wrong),
            next_step="compact the prediction log again",
        )
