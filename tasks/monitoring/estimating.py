"""Estimates of a release's quality without labels. Its calibration is fitted once, and kept under the home."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from penstock.calibration import Calibration, fit, fit_resamples
from penstock.errors import DataError
from penstock.estimate import Estimate, estimate
from penstock.refs import Evaluation, Value
from tasks.machine.settings import settings
from tasks.registry.releases import packaged
from tasks.store import store

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 20
MOST_ROWS = 200_000  # that an estimate is made from; more are drawn from, and it is sure to a thousandth all the same


class Calibrations(Value):
    """The calibration of a release, and those of its test rows drawn again."""

    fitted: Calibration
    resamples: tuple[Calibration, ...]


def estimates(project: str, version: str, score: np.ndarray, decision: np.ndarray) -> dict[str, Estimate]:
    """By metric, the quality that these answers of a release imply; empty where that cannot be told.

    Shapes (n,). Raises StorageError if the release's files are damaged.
    """
    import numpy as np

    try:
        known = calibrations(packaged(project, version).candidate.evaluation) if version and len(score) else None
    except DataError:  # a release that the ledger does not know, or test rows of one class
        known = None
    if known is None:
        return {}
    if len(score) > MOST_ROWS:
        drawn = np.random.default_rng(7).choice(len(score), MOST_ROWS, replace=False)
        score, decision = score[drawn], decision[drawn]
    return estimate(score, decision, known.fitted, known.resamples)


def calibrations(evaluation: Evaluation) -> Calibrations:
    """Of the test rows that a release was judged by; fitted the first time they are asked for.

    Raises StorageError if the predictions are gone, DataError if they are of one class, or not binary.
    """
    import polars as pl

    path = settings().home / "calibrations" / f"{evaluation.predictions.sha256}.json"
    try:
        return Calibrations.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        rows = pl.read_parquet(store.read_bytes(evaluation.predictions))
    if "score" not in rows.columns:
        raise DataError("Quality can be estimated without labels for binary models only.", next_step="penstock label")
    label, score = rows["label"].to_numpy(), rows["score"].to_numpy()
    made = Calibrations(fitted=fit(label, score), resamples=tuple(fit_resamples(label, score, RESAMPLES)))
    with store.readable_errors(path):
        store.write_atomic(path, made.model_dump_json().encode())
    return made
