"""Trains the booster from the split files, streaming; keeps the model as UBJ and its learning curve as JSON."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable

from penstock.config import FeaturesConfig
from penstock.model import fit, needs_external_memory
from penstock.refs import Model, Splits
from penstock.task_type import LOSSES
from penstock.train_config import TrainConfig
from tasks import memory, store
from tasks.batches import encoded_batches
from tasks.caching import task
from tasks.settings import settings
from tasks.steps import StepEvent, emit


@task(libraries=("xgboost", "numpy"))
def train_model(splits: Splits, features: FeaturesConfig, train: TrainConfig) -> Model:
    """The booster at its best iteration. Equal splits, config and environment give equal bytes, whatever the threads.

    Raises TrainingError when training cannot give a usable model.
    """
    categories = store.read_json(splits.categories)
    external = needs_external_memory(splits.rows[0], len(features.names), train)
    folder = scratch() if external else None
    try:
        fitted = fit(
            lambda: encoded_batches(store.locate(splits.train), features, categories, splits.classes),
            lambda: encoded_batches(store.locate(splits.validation), features, categories, splits.classes),
            train,
            threads=settings().cpus,
            classes=splits.classes,
            carried=features.carried,
            weights=class_weights(splits, train),
            cache_prefix=f"{folder}/matrix" if folder else None,
            binned=memory.give_back,  # binning peaks, and what it leaves would lie below the peak of training
            progress=_progress(train),
        )
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
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
        trees_a_round=len(splits.classes) or 1,
    )


def class_weights(splits: Splits, train: TrainConfig) -> list[float]:
    """Of the rows of each class, so that all classes weigh the same and all rows as much as before."""
    if train.class_weights == "none":
        return []
    [rows] = [part for part in store.read_json(splits.summary)["splits"] if part["name"] == "train"]
    by_class = rows.get("rows_by_class") or {"False": rows["rows"] - rows["positives"], "True": rows["positives"]}
    return [rows["rows"] / (len(by_class) * count) for count in by_class.values()]


def scratch() -> str:
    """A new folder for what training keeps in files while it runs."""
    folder = settings().store / "tmp"
    with store.readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(dir=folder)


def _progress(train: TrainConfig) -> Callable[[int, float], None]:
    """Tells the terminal of every round, and Prefect's progress artifact about once a second."""
    from tasks.artifacts import Progress

    artifact = Progress("training")
    name = LOSSES.get(train.loss[1], train.loss[1])
    began = time.monotonic()

    def tell(iteration: int, loss: float) -> None:
        share = (iteration + 1) / train.rounds
        text = f"round {iteration + 1} of at most {train.rounds}, validation {name} {loss:.5f}"
        emit(
            StepEvent(name="train model", state="progress", seconds=time.monotonic() - began, summary=text, share=share)
        )
        artifact.update(100 * share)

    return tell
