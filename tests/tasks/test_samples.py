"""Which rows of the test split are sent to the packaged model."""

from __future__ import annotations

from functools import partial

import polars as pl
import pytest

from penstock.config import FeaturesConfig
from penstock.refs import Splits
from tasks.store import store
from tasks.training import samples

FEATURES = FeaturesConfig(label="late", categorical=("origin",), numeric=("wind",))


@pytest.mark.parametrize("count", [1, 3, 10, 100])
def test_rows_are_spread_over_the_split_however_it_is_read(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    rows = pl.DataFrame({"__row__": range(50, 100), "origin": ["JFK", None] * 25, "wind": [0.5] * 50})
    with store.new_file("test.parquet") as draft:
        rows.write_parquet(draft.path)
    file = draft.ref
    splits = Splits(train=file, validation=file, test=file, categories=file, summary=file, rows=(50, 50, 50))
    expected = rows.gather_every(max(1, 50 // count)).head(count)
    for size in (7, 1000):
        monkeypatch.setattr(samples, "raw_batches", partial(samples.raw_batches, rows=size))
        assert samples.sample_rows(splits, FEATURES, count).equals(expected)
