"""A sample of a split dataset, for candidates that are tried and let go: fewer rows to learn from, all to judge by."""

from __future__ import annotations

from penstock.config import FeaturesConfig
from penstock.refs import FileRef, Splits
from penstock.sampling import sampled, sampled_by_class
from penstock.task_type import TaskName
from tasks.store import store
from tasks.store.caching import task


@task(libraries=("numpy", "polars"))
def sample_splits(splits: Splits, features: FeaturesConfig, task: TaskName, share: float, seed: int) -> Splits:
    """``splits`` with ``share`` of its training and validation rows, in their order, and every test row.

    Classes keep their shares. A share of 1 is ``splits`` itself. Raises StorageError if a split's file is damaged.
    """
    if share == 1:
        return splits
    train, validation = (_sampled(ref, features.label, task, share, seed) for ref in (splits.train, splits.validation))
    rows = (train[1], validation[1], splits.rows[2])
    return splits.model_copy(update={"train": train[0], "validation": validation[0], "rows": rows})


def _sampled(ref: FileRef, label: str, task: TaskName, share: float, seed: int) -> tuple[FileRef, int]:
    import polars as pl

    frame = pl.read_parquet(store.read_bytes(ref))
    if task == "regression":
        kept = sampled(len(frame), share, seed)
    else:
        kept = sampled_by_class(frame[label].cast(pl.String).rank("dense").to_numpy(), share, seed)
    chosen = frame.filter(pl.Series(kept))
    with store.new_file(ref.name) as draft:
        chosen.write_parquet(draft.path)
    return draft.ref, len(chosen)
