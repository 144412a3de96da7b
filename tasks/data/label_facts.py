"""What the splits' summary says of labels, for those who compare predictions."""

from __future__ import annotations

from penstock.refs import Splits
from tasks.store import store


def spread(splits: Splits) -> float:
    """The unit in which predictions are compared: the standard deviation of a regression's training labels, and 1 for
    classes, whose probabilities are shares already. Raises StorageError if the summary is gone."""
    [train] = [part for part in store.read_json(splits.summary)["splits"] if part["name"] == "train"]
    return float(train.get("deviation") or 1.0)
