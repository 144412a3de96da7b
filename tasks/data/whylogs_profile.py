"""Standard whylogs profiles made straight from polars: the metrics and file format of `why.log`, ten times faster.

`why.log` goes through pandas and asks of every float in Python whether it is infinite. Here each column's metrics are
filled at once. whylogs 1.6.4 is imported only here, because it needs a name that NumPy 2 no longer has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

LONGEST = 128  # characters of a frequent item; whylogs cuts there too
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 10


def profile(rows: pl.DataFrame) -> Any:
    """A `DatasetProfileView` of the frame's columns: numbers, booleans and text; of anything else, counts."""
    load_whylogs()
    from whylogs.core.view.dataset_profile_view import DatasetProfileView

    now = datetime.now(UTC)
    columns = {name: _column(rows[name]) for name in rows.columns}
    return DatasetProfileView(columns=columns, dataset_timestamp=now, creation_timestamp=now)


def merged(batches: Iterable[pl.DataFrame]) -> Any:
    """One profile of all batches, each let go before the next is read. At least one batch is needed."""
    return merge(map(profile, batches))


def merge(profiles: Iterable[Any]) -> Any:
    """One of all, of which there has to be at least one; what is rounded depends on their order."""
    total = None
    for part in profiles:
        total = part if total is None else total.merge(part)
    if total is None:
        raise ValueError("there is nothing to profile")
    return total


def read(content: bytes) -> Any:
    """A `DatasetProfileView` from what its `serialize` gave."""
    load_whylogs()
    from whylogs.core.view.dataset_profile_view import DatasetProfileView

    return DatasetProfileView.deserialize(content)


def summary(view: Any) -> dict[str, dict[str, Any]]:
    """By column: what a report shows of it. JSON-able; what a column does not have is left out."""
    return {name: _summary(column) for name, column in view.get_columns().items()}


def load_whylogs() -> None:
    """To be called before whylogs is imported."""
    import numpy as np

    if not hasattr(np, "unicode_"):
        np.unicode_ = np.str_  # type: ignore[attr-defined]


def _column(values: pl.Series) -> Any:
    import polars as pl
    from whylogs.core.view.column_profile_view import ColumnProfileView

    rows = len(values)
    kind = values.dtype
    if kind in (pl.Enum, pl.Categorical):
        values, kind = values.cast(pl.String), pl.String()
    if kind.is_float():
        values = values.fill_nan(None)
    nulls = values.null_count()
    values = values.drop_nulls().alias("value")  # whatever its name: a column may be called `count`
    if kind == pl.Boolean:
        metrics = _boolean(values, rows, nulls)
    elif kind.is_integer():
        metrics = _integer(values, rows, nulls)
    elif kind.is_float():
        metrics = _float(values, rows, nulls)
    elif kind == pl.String:
        metrics = _text(values, rows, nulls)
    else:
        metrics = {"counts": _counts(rows, nulls), "types": _types(object=len(values))}
    return ColumnProfileView(metrics=metrics, success_count=rows, failure_count=0)


def _float(values: pl.Series, rows: int, nulls: int) -> dict[str, Any]:
    import numpy as np
    from whylogs.core.metrics.metrics import CardinalityMetric

    numbers = values.to_numpy().astype(np.float64)
    cardinality = CardinalityMetric.zero()
    cardinality.hll.value.update_np(numbers)
    return {
        "counts": _counts(rows, nulls, inf=int(np.isinf(numbers).sum())),
        "types": _types(fractional=len(numbers)),
        "distribution": _distribution(numbers),
        "cardinality": cardinality,
    }


def _integer(values: pl.Series, rows: int, nulls: int) -> dict[str, Any]:
    import numpy as np
    import polars as pl
    from whylogs.core.metrics.metrics import CardinalityMetric, FrequentItemsMetric, IntsMetric

    numbers = values.cast(pl.Int64, strict=False).drop_nulls().to_numpy()  # whylogs' own integers end at 2**63
    cardinality, items, extremes = CardinalityMetric.zero(), FrequentItemsMetric.zero(), IntsMetric.zero()
    cardinality.hll.value.update_np(values.cast(pl.Int64, wrap_numerical=True).to_numpy())
    for value, count in values.value_counts().iter_rows():
        items.frequent_strings.value.update(str(value), count)
    if len(numbers):
        extremes.max.set(int(numbers.max()))
        extremes.min.set(int(numbers.min()))
    return {
        "counts": _counts(rows, nulls),
        "types": _types(integral=len(values)),
        "distribution": _distribution(values.to_numpy().astype(np.float64)),
        "ints": extremes,
        "cardinality": cardinality,
        "frequent_items": items,
    }


def _boolean(values: pl.Series, rows: int, nulls: int) -> dict[str, Any]:
    import numpy as np
    from whylogs.core.metrics.metrics import CardinalityMetric, FrequentItemsMetric

    true = int(values.sum() or 0)
    false = len(values) - true
    cardinality, items = CardinalityMetric.zero(), FrequentItemsMetric.zero()
    for value, count in ((True, true), (False, false)):
        if count:
            cardinality.hll.value.update_int_list([int(value)])
            items.frequent_strings.value.update(str(value), count)
    return {
        "counts": _counts(rows, nulls, true=true),
        "types": _types(boolean=len(values)),
        "distribution": _distribution(np.repeat([1.0, 0.0], [true, false])),
        "cardinality": cardinality,
        "frequent_items": items,
    }


def _text(values: pl.Series, rows: int, nulls: int) -> dict[str, Any]:
    from whylogs.core.metrics.metrics import CardinalityMetric, DistributionMetric, FrequentItemsMetric

    cardinality, items = CardinalityMetric.zero(), FrequentItemsMetric.zero()
    counted = values.value_counts(sort=True)
    cardinality.hll.value.update_str_list(counted["value"].to_list())
    for value, count in counted.iter_rows():
        items.frequent_strings.value.update(value[:LONGEST], count)
    return {
        "counts": _counts(rows, nulls),
        "types": _types(string=len(values)),
        "distribution": DistributionMetric.zero(),
        "cardinality": cardinality,
        "frequent_items": items,
    }


def _counts(rows: int, nulls: int, inf: int = 0, true: int = 0) -> Any:
    from whylogs.core.metrics.column_metrics import ColumnCountsMetric
    from whylogs.core.metrics.metric_components import IntegralComponent as Number

    return ColumnCountsMetric(n=Number(rows), null=Number(nulls), nan=Number(0), inf=Number(inf), true=Number(true))


def _types(**found: int) -> Any:
    from whylogs.core.metrics.column_metrics import TypeCountersMetric
    from whylogs.core.metrics.metric_components import IntegralComponent as Number

    kinds = ("integral", "fractional", "boolean", "string", "object", "tensor")
    return TypeCountersMetric(**{kind: Number(found.get(kind, 0)) for kind in kinds})


def _distribution(numbers: np.ndarray) -> Any:
    import numpy as np
    from whylogs.core.metrics.metrics import DistributionMetric

    metric = DistributionMetric.zero()
    finite = numbers[np.isfinite(numbers)]
    if len(finite):
        metric.kll.value.update(np.ascontiguousarray(finite))
        metric.mean.set(float(finite.mean()))
        metric.m2.set(float(finite.var() * len(finite)))  # the sum of squared deviations, as Welford keeps it
    return metric


def _summary(column: Any) -> dict[str, Any]:
    counts = column.get_metric("counts")
    found: dict[str, Any] = {"rows": counts.n.value, "nulls": counts.null.value}
    kinds = column.get_metric("types").to_summary_dict()
    found["type"] = max(kinds, key=kinds.get) if any(kinds.values()) else "empty"
    distribution = column.get_metric("distribution")
    if distribution is not None and not distribution.kll.value.is_empty():
        sketch = distribution.kll.value
        found |= {"min": sketch.get_min_value(), "max": sketch.get_max_value(), "mean": distribution.mean.value}
        found["stddev"] = distribution.stddev
        values = sketch.get_quantiles(list(QUANTILES))
        found |= {f"q{round(share * 100):02}": value for share, value in zip(QUANTILES, values, strict=True)}
    cardinality = column.get_metric("cardinality")
    if cardinality is not None:
        found["distinct"] = round(cardinality.estimate or 0)
    items = column.get_metric("frequent_items")
    if items is not None and found["type"] in ("string", "boolean"):
        top = items.to_summary_dict()["frequent_strings"][:TOP]
        found["top"] = [[item.value, int(item.est)] for item in top]
    return {key: value for key, value in found.items() if not (isinstance(value, float) and not math.isfinite(value))}
