"""Tries the declared tests of behaviour on a trained model, over a sample of the test rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.behaviour import Asked, Behaviour, try_test
from penstock.behaviour_config import BehaviourTest
from penstock.config import FeaturesConfig
from penstock.model import categories, load
from penstock.refs import Evaluation, Model, Splits
from tasks.machine.settings import settings
from tasks.store import store
from tasks.store.caching import task
from tasks.training.samples import sample_rows

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

SAMPLE = 2000  # rows


@task(libraries=("xgboost", "numpy", "polars"))
def try_behaviour(
    splits: Splits, model: Model, evaluation: Evaluation, features: FeaturesConfig, tests: dict[str, BehaviourTest]
) -> Behaviour:
    """Every declared test; the sample is every so many rows of the test split, so equal splits give equal samples."""
    from penstock.features import encode_frame

    booster = load(store.read_bytes(model.booster), settings().cpus)
    known = categories(booster)

    def score(frame: pl.DataFrame) -> np.ndarray:
        found: np.ndarray = booster.inplace_predict(encode_frame(frame, features, known))
        return found

    asked = Asked(
        score=score,
        columns=features.inputs,
        words=frozenset(features.inputs_of("text") + features.inputs_of("time")),
        known={name: known[name] for name in features.categorical},
        classes=splits.classes,
        threshold=store.read_json(evaluation.metrics).get("threshold", 0.5),
    )
    rows = sample_rows(splits, features, SAMPLE)
    return Behaviour(tried={name: try_test(test, asked, rows) for name, test in tests.items()})
