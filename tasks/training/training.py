"""Trains the booster from the split files, streaming; keeps the model as UBJ and its learning curve as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable

from penstock.config import FeaturesConfig
from penstock.refs import Model, Splits
from penstock.task_type import LOSSES
from penstock.train_config import TrainConfig
from tasks.machine.settings import settings
from tasks.machine.steps import StepEvent, emit
from tasks.store.caching import task
from tasks.training.fitting import fit_rows, keep


@task(libraries=("xgboost", "numpy"), by_engine=True)
def train_model(splits: Splits, features: FeaturesConfig, train: TrainConfig) -> Model:
    """The booster at its best iteration. Equal splits, config, environment and engine give equal bytes, whatever the
    threads, and whichever workers of a cluster.

    Raises TrainingError when training cannot give a usable model, ClusterError when the cluster cannot train it.
    """
    progress = _progress(train)
    if settings().engine:
        from tasks.training.cluster_training import train_together

        return train_together(splits, features, train, settings().dask_shards, progress)
    return keep(fit_rows(splits, features, train, threads=settings().cpus, progress=progress), splits.classes)


def _progress(train: TrainConfig) -> Callable[[int, float], None]:
    """Tells the terminal of every round, and Prefect's progress artifact about once a second."""
    from tasks.store.artifacts import Progress

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
