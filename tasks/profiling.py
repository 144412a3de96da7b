"""Profiles data with whylogs: each split of a training run, each ingested batch.

A profile's bytes hold the time and random bits, so nothing downstream depends on them.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.config import FeaturesConfig
from penstock.refs import FileRef, Profiles, Splits
from tasks import store
from tasks.batches import raw_batches
from tasks.caching import task

if TYPE_CHECKING:
    import polars as pl

ROWS = 65_536


@task(libraries=("whylogs", "polars"))
def profile_splits(splits: Splits, features: FeaturesConfig) -> Profiles:
    """A standard whylogs profile of inputs and label for each split, streamed and merged, and their summaries."""
    import polars as pl

    from tasks.whylogs_profile import merged, summary

    columns = [*features.inputs, features.label]
    refs: dict[str, FileRef] = {}
    summaries = {}
    for name, split in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
        path = store.locate(split)
        nothing = pl.read_parquet(path, columns=columns, n_rows=0)  # a file of no rows has no batch
        view = merged(chain([nothing], raw_batches(path, columns, ROWS)))
        with store.new_file(f"profile-{name}.bin") as draft:
            draft.path.write_bytes(view.serialize())
        refs[name] = draft.ref
        summaries[name] = summary(view)
    return Profiles(**refs, summary=store.put_json(summaries, "profiles.json"))


def profile_frame(rows: pl.DataFrame, path: Path) -> dict[str, Any]:
    """Write a batch's profile to ``path``, whole or not at all; returns its summary by column."""
    from tasks.whylogs_profile import profile, summary

    view = profile(rows)
    store.write_atomic(path, view.serialize())
    return summary(view)
