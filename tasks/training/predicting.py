"""What a model answers for the rows of a file: computed in this process, or by a cluster's workers, bit for bit alike.

A row's score does not depend on the rows beside it. Workers give scores alone; other columns are read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from penstock.model import load, recipe
from penstock.refs import FileRef, Value
from tasks.cluster import cluster, cluster_piece
from tasks.cluster.pieces import Piece, batches, cut, far
from tasks.data.batches import ROWS, raw_batches
from tasks.data.cluster_files import here
from tasks.machine.settings import settings
from tasks.store import store

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


class _Share(Value):
    piece: Piece
    booster: FileRef
    label: str


def predictions(
    rows: FileRef, booster: FileRef, label: str, wanted: list[str]
) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    """(the columns ``wanted``, the model's scores: shape (rows,), or (rows, classes)) of each batch of a file's rows.

    ``label``: what the model learnt, as `penstock.model.recipe` asks for it.
    """
    pieces = cut(rows, store.locate(rows))
    if far(pieces):
        yield from _from_workers(rows, booster, label, wanted, pieces)
        return
    predict = _Predict(booster, label, settings().cpus)
    columns = list(dict.fromkeys([*predict.columns, *wanted]))
    for frame in raw_batches(store.locate(rows), columns):
        yield frame, predict(frame)


class _Predict:
    """The scores of a frame that has ``columns``."""

    def __init__(self, booster: FileRef, label: str, threads: int) -> None:
        self._booster = load(store.read_bytes(booster), threads)
        self._features, self._known = recipe(self._booster, label)
        self.columns = list(self._features.inputs)

    def __call__(self, frame: pl.DataFrame) -> np.ndarray:
        from penstock.features import encode_frame

        scores: np.ndarray = self._booster.inplace_predict(encode_frame(frame, self._features, self._known))
        return scores


def _from_workers(
    rows: FileRef, booster: FileRef, label: str, wanted: list[str], pieces: list[Piece]
) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
    import numpy as np

    shares = [_Share(piece=piece, booster=booster, label=label) for piece in pieces]
    refs = cluster.spread(_predict_there, shares, what="the predictions")
    scores = np.concatenate([np.load(store.locate(ref), allow_pickle=False) for ref in refs])
    start = 0
    for frame in raw_batches(store.locate(rows), list(dict.fromkeys(wanted))):
        yield frame, scores[start : start + frame.height]
        start += frame.height


def _predict_there(share: _Share) -> FileRef:
    import numpy as np

    predict = _Predict(share.booster, share.label, cluster_piece.threads())
    scores = np.concatenate([predict(frame) for frame in batches(here(share.piece), ROWS, predict.columns)])
    with store.new_file("scores.npy") as draft, draft.path.open("wb") as file:
        np.save(file, scores, allow_pickle=False)
    return draft.ref
