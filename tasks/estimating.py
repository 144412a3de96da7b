"""Fits what an estimate without labels needs: the calibration of a release, from the predictions of its evaluation."""

from __future__ import annotations

from penstock.calibration import Calibration, fit, fit_resamples
from penstock.refs import Evaluation
from tasks import store

RESAMPLES = 20


def calibrations(evaluation: Evaluation, resamples: int = RESAMPLES) -> tuple[Calibration, list[Calibration]]:
    """(the calibration, those of its rows drawn again) of the test rows that a release was judged by.

    Raises StorageError if the predictions are gone, DataError if they are of one class.
    """
    import polars as pl

    rows = pl.read_parquet(store.read_bytes(evaluation.predictions))
    label, score = rows["label"].to_numpy(), rows["score"].to_numpy()
    return fit(label, score), fit_resamples(label, score, resamples)
