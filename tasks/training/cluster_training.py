"""Trains one booster on several workers of the Dask cluster, each with its share of the training and validation rows.

A share is a contiguous range of rows, so it depends on the number of shards alone, and so do the bytes of the model:
XGBoost merges what the shards know of the features' values, and adds up their gradients, in the order of the shards.
"""

from __future__ import annotations

from pathlib import Path

from penstock.config import FeaturesConfig
from penstock.errors import ClusterError
from penstock.refs import Model, Splits, Value
from penstock.train_config import TrainConfig
from tasks.cluster import collective
from tasks.cluster.collective_part import Tell
from tasks.data.batches import Share
from tasks.machine.settings import settings
from tasks.training.fitting import Progress, fit_rows, keep


class Shard(Value):
    """What one worker is asked to train on."""

    splits: Splits
    features: FeaturesConfig
    train: TrainConfig
    number: int
    of: int


def train_together(
    splits: Splits, features: FeaturesConfig, train: TrainConfig, shards: int, progress: Progress
) -> Model:
    """The model that ``shards`` workers train. Raises ClusterError, and TrainingError as training in one process."""
    least = min(splits.rows[:2])
    if least < shards:
        raise ClusterError(
            "There are more shards than rows: a worker would have none.",
            where="PENSTOCK_DASK_SHARDS",
            found=f"{shards} shards, {least:,} rows",
            allowed=f"at most {least}",
            next_step="PENSTOCK_DASK_SHARDS=2, or unset PENSTOCK_DASK to train here",
        )
    parts = [Shard(splits=splits, features=features, train=train, number=n, of=shards) for n in range(shards)]
    made = collective.together(train_shard, parts, what="training", heard=lambda told: progress(*told))
    assert isinstance(made, Model)
    return made


def train_shard(shard: Shard, tell: Tell) -> Model | None:
    """In a worker, beside the others: what they train together, from the first of them, and nothing from the others."""
    from distributed import get_worker

    worker = get_worker()
    fitted = fit_rows(
        shard.splits,
        shard.features,
        shard.train,
        threads=settings().threads or worker.state.nthreads,
        progress=lambda iteration, loss: tell((iteration, loss)),
        share=Share(shard.number, shard.of),
        scratch_in=Path(worker.local_directory),  # a home may be far away
    )
    return keep(fitted, shard.splits.classes) if shard.number == 0 else None
