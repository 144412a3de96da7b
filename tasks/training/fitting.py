"""Fits a booster to the split files, whole or one share of their rows, and keeps what came out.

What training in one process (`tasks/training/training.py`) and on a cluster (`tasks/training/cluster_training.py`) have
in common.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from penstock.config import FeaturesConfig
from penstock.model import Fit, fit, needs_external_memory
from penstock.refs import Model, Splits
from penstock.train_config import TrainConfig
from tasks.data.batches import WHOLE, Share, encoded_batches
from tasks.machine import memory
from tasks.machine.settings import settings
from tasks.store import store

Progress = Callable[[int, float], None]  # told the iteration and the validation loss after each round


def fit_rows(
    splits: Splits,
    features: FeaturesConfig,
    train: TrainConfig,
    *,
    threads: int,
    progress: Progress,
    share: Share = WHOLE,
    scratch_in: Path | None = None,
) -> Fit:
    """The booster of the training rows, or what this process does of it where several train together, each a share.

    ``scratch_in``: where external memory goes; left out, the home. Raises TrainingError.
    """
    categories = store.read_json(splits.categories)
    external = needs_external_memory(splits.rows[0] // share.of, len(features.names), train)
    folder = scratch(scratch_in) if external else None
    try:
        return fit(
            lambda: encoded_batches(store.locate(splits.train), features, categories, splits.classes, share=share),
            lambda: encoded_batches(store.locate(splits.validation), features, categories, splits.classes, share=share),
            train,
            threads=threads,
            classes=splits.classes,
            carried=features.carried,
            weights=class_weights(splits, train),
            cache_prefix=f"{folder}/matrix" if folder else None,
            binned=memory.give_back,  # binning peaks, and what it leaves would lie below the peak of training
            progress=progress,
        )
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def keep(fitted: Fit, classes: tuple[str, ...]) -> Model:
    """The model in the store: its booster as UBJ, its learning curve as JSON."""
    history = {
        "metric": fitted.loss,
        "train": fitted.train_loss,
        "validation": fitted.validation_loss,
        "best_iteration": fitted.best_iteration,
        "warnings": fitted.warnings,
    }
    return Model(
        booster=store.put_bytes(fitted.booster, "model.ubj"),
        history=store.put_json(history, "history.json"),
        best_iteration=fitted.best_iteration,
        rounds=fitted.rounds,
        trees_a_round=len(classes) or 1,
    )


def class_weights(splits: Splits, train: TrainConfig) -> list[float]:
    """Of the rows of each class, so that all classes weigh the same and all rows as much as before."""
    if train.class_weights == "none":
        return []
    [rows] = [part for part in store.read_json(splits.summary)["splits"] if part["name"] == "train"]
    by_class = rows.get("rows_by_class") or {"False": rows["rows"] - rows["positives"], "True": rows["positives"]}
    return [rows["rows"] / (len(by_class) * count) for count in by_class.values()]


def scratch(place: Path | None = None) -> str:
    """A new folder for what training keeps in files while it runs; of the home, unless there is another ``place``."""
    folder = place or settings().store / "tmp"
    with store.readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(dir=folder)
