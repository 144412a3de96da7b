"""Which rows break which rule of a schema, or are outliers; of a batch, or of a piece of a dataset.

Rows that are clean cost one lazy pass. Only those that are not are looked at chunk by chunk, for the exact ones.
Uniqueness is not looked at: it holds over all files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from penstock.refs import Value
from tasks.data.pandera_schema import Rules, broken_rules

if TYPE_CHECKING:
    import polars as pl

CHUNK = 500_000  # rows
EXAMPLES = 3
SPREAD = 10  # an outlier is further from the median than this many interquartile ranges

Broken = tuple[str, str, list[int], list[str]]  # column, rule, positions of the rows, examples
Rows = TypeVar("Rows", "pl.DataFrame", "pl.LazyFrame")


class Bounds(Value):
    """Of the columns under `outliers: error`, what is no outlier in one part; ``warnings``: of those under `warn`."""

    inside: dict[str, tuple[float, float]]
    warnings: tuple[str, ...]


def broken(
    whole: pl.LazyFrame,
    chunks: Iterable[pl.DataFrame],
    rules: Rules,
    inside: dict[str, tuple[float, float]],
    position: int = 0,
) -> Iterator[Broken]:
    """Every rule over some rows but uniqueness, chunk by chunk. ``position``: of the first row in its file."""
    if rules.passes(whole) and not _any_outside(whole, inside):
        return
    for chunk in chunks:
        for column, check, bad in broken_rules(rules, chunk):
            yield column, check, (bad.arg_true() + position).to_list(), _examples(chunk, column, bad)
        for column, (low, high) in inside.items():
            bad = ~chunk[column].is_between(low, high).fill_null(True)
            if bad.any():
                check = f"outlier, outside {low:g} .. {high:g}"
                yield column, check, (bad.arg_true() + position).to_list(), _examples(chunk, column, bad)
        position += chunk.height


def _examples(chunk: pl.DataFrame, column: str, bad: pl.Series) -> list[str]:
    return [str(value) for value in chunk.filter(bad)[column].drop_nulls().unique(maintain_order=True).head(EXAMPLES)]


def outlier_bounds(rows: pl.LazyFrame, outliers: Mapping[str, str]) -> Bounds:
    """median +- 10 IQR of the part: wide enough for skewed columns, narrow enough for a changed unit.

    A column whose middle half is one value has no spread to judge by, and is left alone.
    """
    import polars as pl

    if not outliers:
        return Bounds(inside={}, warnings=())
    quartiles = rows.select(
        pl.col(name).cast(pl.Float64).quantile(share).alias(f"{name} {share}")
        for name in outliers
        for share in (0.25, 0.5, 0.75)
    ).collect(engine="streaming")
    inside, warnings = {}, []
    for name, act in outliers.items():
        low, middle, high = (quartiles[f"{name} {share}"][0] for share in (0.25, 0.5, 0.75))
        if middle is None or high == low:
            continue
        bounds = (middle - SPREAD * (high - low), middle + SPREAD * (high - low))
        if act == "error":
            inside[name] = bounds
            continue
        count = rows.select((~pl.col(name).is_between(*bounds)).sum()).collect(engine="streaming").item()
        if count:
            warnings.append(f"{name}: {count:,} outside {bounds[0]:g} .. {bounds[1]:g} (median +- {SPREAD} IQR)")
    return Bounds(inside=inside, warnings=tuple(warnings))


def _any_outside(scan: pl.LazyFrame, bounds: dict[str, tuple[float, float]]) -> bool:
    import polars as pl

    if not bounds:
        return False
    counts = scan.select((~pl.col(name).is_between(*pair)).any() for name, pair in bounds.items()).collect()
    return any(bool(value) for value in counts.row(0))


def without_nan(rows: Rows) -> Rows:
    import polars as pl

    return rows.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
