"""Rows of the test split as a client would send them: the example of a release, and what its check asks."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any

from penstock.config import FeaturesConfig
from penstock.refs import Splits
from tasks.data.batches import raw_batches
from tasks.store import store

if TYPE_CHECKING:
    import polars as pl

LOOKED_AT = 50  # rows among which the example is looked for


def example_row(splits: Splits, features: FeaturesConfig) -> dict[str, Any]:
    """A row of the test split: one without gaps and with categories that training saw, where there is one."""
    import polars as pl

    frame = sample_rows(splits, features, LOOKED_AT).drop("__row__")
    known = known_rows(frame, splits, features)
    chosen = known if known.height else frame
    gaps = pl.sum_horizontal(pl.all().is_null().cast(pl.Int32))
    return json_rows(chosen.sort(gaps, maintain_order=True).head(1))[0]


def sample_rows(splits: Splits, features: FeaturesConfig, count: int) -> pl.DataFrame:
    """Every so many rows of the test split, at most ``count``, read batch by batch: `__row__` and the inputs."""
    import polars as pl

    step = max(1, splits.rows[2] // count)
    position = 0
    chosen = []
    for frame in raw_batches(store.locate(splits.test), ["__row__", *features.inputs]):
        chosen.append(frame.gather_every(step, -position % step))
        position += len(frame)
    return pl.concat(chosen).head(count)


def known_rows(frame: pl.DataFrame, splits: Splits, features: FeaturesConfig) -> pl.DataFrame:
    """The rows whose categories training saw: a server that rejects unknown ones is right to refuse the others."""
    import polars as pl

    from penstock.features import encode_frame, unknown_texts

    encoded = encode_frame(frame, features, store.read_json(splits.categories))
    strange = pl.Series([False] * frame.height)
    for _, _, unknown in unknown_texts(frame, encoded, features):
        strange |= unknown
    return frame.filter(~strange)


def json_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON objects: a missing value is null, a float32 the shortest number for it, a time its ISO 8601 text."""
    import numpy as np
    import polars as pl

    single = {name for name, kind in frame.schema.items() if kind == pl.Float32}

    def plain(name: str, value: Any) -> Any:
        if isinstance(value, float) and math.isnan(value):
            return None
        if isinstance(value, date):  # a datetime is one, too
            return value.isoformat()
        return float(str(np.float32(value))) if name in single and value is not None else value

    return [{name: plain(name, value) for name, value in row.items()} for row in frame.to_dicts()]
