"""Profiles data with whylogs: each split of a training run, each ingested batch.

A profile's bytes hold the time and random bits, so nothing downstream depends on them. A cluster's workers make those
of pieces; they are merged here in the same order as without a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.config import FeaturesConfig
from penstock.refs import FileRef, Profiles, Splits, Value
from tasks.cluster import cluster
from tasks.cluster.pieces import Piece, batches, cut, far, many
from tasks.data.cluster_files import here
from tasks.store import store
from tasks.store.caching import task

if TYPE_CHECKING:
    import polars as pl

ROWS = 65_536


class _Share(Value):
    piece: Piece
    columns: tuple[str, ...]


@task(libraries=("whylogs", "polars"))
def profile_splits(splits: Splits, features: FeaturesConfig) -> Profiles:
    """A standard whylogs profile of inputs and label for each split, streamed and merged, and their summaries."""
    import polars as pl

    from tasks.data.whylogs_profile import merge, profile, summary

    columns = [*features.inputs, features.label]
    files = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    pieces = {name: [piece for piece in cut(file, store.locate(file)) if piece.rows] for name, file in files.items()}
    views = _views([piece for of_split in pieces.values() for piece in of_split], columns)
    refs: dict[str, FileRef] = {}
    summaries = {}
    for name, file in files.items():
        nothing = pl.read_parquet(store.locate(file), columns=columns, n_rows=0)  # a file of no rows has no piece
        view = merge(chain([profile(nothing)], islice(views, len(pieces[name]))))
        with store.new_file(f"profile-{name}.bin") as draft:
            draft.path.write_bytes(view.serialize())
        refs[name] = draft.ref
        summaries[name] = summary(view)
    return Profiles(**refs, summary=store.put_json(summaries, "profiles.json"))


def _views(pieces: list[Piece], columns: list[str]) -> Iterator[Any]:
    """The profile of each piece, in their order. Of many they are read back, which rounds estimates, here as there."""
    from tasks.data.whylogs_profile import merged, read

    if far(pieces):
        shares = [_Share(piece=piece, columns=tuple(columns)) for piece in pieces]
        found = cluster.spread(_profile_there, shares, what="the profiles")
        return map(read, map(store.read_bytes, found))
    views = (merged(batches(piece, ROWS, columns)) for piece in pieces)
    return (read(view.serialize()) for view in views) if many(pieces) else views


def _profile_there(share: _Share) -> FileRef:
    from tasks.data.whylogs_profile import merged

    view = merged(batches(here(share.piece), ROWS, list(share.columns)))
    return store.put_bytes(view.serialize(), "profile-piece.bin")


def profile_frame(rows: pl.DataFrame, path: Path) -> dict[str, Any]:
    """Write a batch's profile to ``path``, whole or not at all; returns its summary by column."""
    from tasks.data.whylogs_profile import profile, summary

    view = profile(rows)
    store.write_atomic(path, view.serialize())
    return summary(view)
