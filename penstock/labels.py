"""The label ledger's values: which label counts for each key, what a batch changes, and which prediction it belongs to.

Labels arrive late, in any order and again. The state is a fold over batches: for each key the label of the latest
arrival counts. "Arrival" is the batch's number, given once and never again; no clock is asked. A batch keeps only what
it changes, so a daily export of all labels costs only what is new in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from penstock.errors import DataError
from penstock.label_config import REQUEST_KEY, LabelsConfig
from penstock.label_rows import LABEL, REQUEST_KINDS, key_text, label_type
from penstock.refs import FileRef, Value
from penstock.served import PRODUCTION, column_of
from penstock.task_type import TaskName

if TYPE_CHECKING:
    import polars as pl

ARRIVED = "arrived"  # the number of the batch that a label came with


class Entry(Value):
    """One batch that was recorded. ``content``: a hash of all its labels, changed or not; ``batch``: the file of those
    that changed something. ``source`` says where they were read, without credentials."""

    sequence: int
    time: str  # ISO 8601, UTC
    project: str
    by: str
    source: str
    key: tuple[str, ...]
    content: str
    batch: FileRef
    new: int
    corrected: int
    unchanged: int
    empty: int


def fold(batches: Iterable[tuple[int, pl.DataFrame]], key: tuple[str, ...], task: TaskName = "binary") -> pl.DataFrame:
    """The labels that count: key columns, `label`, `arrived`; each key once, sorted. ``batches``: (number, rows).

    Labels from before the project's task was another one are kept, and match nothing.
    """
    import polars as pl

    types: dict[str, Any] = {**dict.fromkeys(key, pl.String), LABEL: label_type(task), ARRIVED: pl.Int64}
    numbered = [
        rows.with_columns(pl.lit(number, pl.Int64).alias(ARRIVED))
        for number, rows in batches
        if rows.schema[LABEL] == types[LABEL]
    ]
    every = pl.concat([pl.DataFrame(schema=types), *(rows.select(list(types)) for rows in numbered)])
    return every.sort(ARRIVED, maintain_order=True).unique(key, keep="last").sort(key)


def changes(state: pl.DataFrame, rows: pl.DataFrame, key: tuple[str, ...]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows whose key has no label yet, rows whose label differs from the one that counts)."""
    import polars as pl

    beside = rows.join(state.select(*key, pl.col(LABEL).alias("was")), on=list(key), how="left")
    new = beside.filter(pl.col("was").is_null())
    corrected = beside.filter(pl.col("was").is_not_null() & (pl.col("was") != pl.col(LABEL)))
    return new.drop("was").sort(key), corrected.drop("was").sort(key)


def labelled(
    served: pl.DataFrame,
    state: pl.DataFrame,
    config: LabelsConfig,
    kinds: Mapping[str, str],
    environment: str = PRODUCTION,
) -> pl.DataFrame:
    """The predictions of ``environment`` that are to be judged, with `label` and `arrived`; null where none has come.

    ``served``: see `penstock/served.py`. ``kinds``: the schema's types of the key columns. Of a request that was tried
    again, and by `labels.repeated` of a model's predictions about the same keys, one counts. A prediction without its
    keys is never labelled, and counts.
    """
    import polars as pl

    mine = served.filter(pl.col("environment") == environment).sort("time_ns", maintain_order=True)
    mine = mine.unique(["request_id", "row", "model"], keep="last", maintain_order=True)
    keys = [f"__{name}__" for name in config.key]
    mine = mine.with_columns(key.alias(name) for key, name in zip(served_keys(mine, config, kinds), keys, strict=True))
    if config.by == "keys" and config.repeated != "all":
        whole = pl.all_horizontal(pl.col(keys).is_not_null())
        one = mine.filter(whole).unique([*keys, "model"], keep=config.repeated, maintain_order=True)
        mine = pl.concat([one, mine.filter(~whole)]).sort("time_ns", maintain_order=True)
    return mine.join(state, left_on=keys, right_on=list(config.key), how="left", maintain_order="left").drop(keys)


def unmatched(rows: pl.DataFrame, served: pl.DataFrame, config: LabelsConfig, kinds: Mapping[str, str]) -> pl.DataFrame:
    """Those of the labels ``rows`` that belong to no prediction of ``served``, whatever its environment."""
    import polars as pl

    there = pl.DataFrame(dict(zip(config.key, served_keys(served, config, kinds), strict=True)))
    return rows.join(there, on=list(config.key), how="anti")


def require_row_numbers(rows: pl.DataFrame, served: pl.DataFrame, where: str) -> None:
    """Raise DataError if labels that name only a request are for requests of several rows: which is meant?"""
    several = served.filter(served["row"] > 0).select("request_id").unique()
    unclear = rows.join(several, on="request_id", how="semi")
    if unclear.height:
        raise DataError(
            f"{unclear.height:,} labels name a request of several rows, and not which of them.",
            where=where,
            found=", ".join(unclear["request_id"].head(5)),
            allowed="a column `row` beside `request_id`, from 0 in the request's order",
            next_step="add the column; nothing was recorded",
        )


def served_keys(served: pl.DataFrame, config: LabelsConfig, kinds: Mapping[str, str]) -> list[pl.Series]:
    """The key columns of served predictions as the ledger writes them."""
    if config.key == REQUEST_KEY:
        return [key_text(served[name], REQUEST_KINDS[name]).alias(name) for name in REQUEST_KEY]
    return [key_text(served[column_of(name)], kinds[name]).alias(name) for name in config.key_columns]
