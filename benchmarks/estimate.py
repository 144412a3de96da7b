"""The estimate without labels beside the truth: the flights' lateness, month by month.

    PYTHONPATH=. python benchmarks/estimate.py

Trained with XGBoost on the first 70 % of January to September 2013, chosen on the next 15 %, tested and calibrated on
the last 15 %, as the flights project does; then October to December are estimated, and only then looked up. Half a
minute. A second table breaks the assumption on purpose: labels are turned around in a share of the rows, which is
concept drift, and which the estimate cannot see.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import xgboost as xgb

from examples.flights import source
from penstock.calibration import Calibration, fit, fit_resamples
from penstock.estimate import estimate
from penstock.live_metrics import measure
from penstock.metrics import best_threshold

CATEGORICAL = ["carrier", "origin", "dest"]
NUMERIC = [
    "weekday", "departure_hour", "arrival_hour", "distance", "plane_year", "seats", "temp", "dewp", "humid",
    "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
]  # fmt: skip
PARAMS = {"objective": "binary:logistic", "max_depth": 8, "eta": 0.1, "min_child_weight": 5, "max_cat_to_onehot": 1}
RESAMPLES = 20
METRICS = ("auc", "accuracy", "f1", "log_loss")


def main() -> None:
    flights = source()
    months = {name: flights.read(name).rows for name in flights.names()}
    past = pl.concat([months[name] for name in flights.names()[:9]])
    kinds = {name: pl.Enum(past[name].unique().sort()) for name in CATEGORICAL}
    ends = [int(past.height * share) for share in (0.7, 0.85)]
    train, validation, test = past[: ends[0]], past[ends[0] : ends[1]], past[ends[1] :]
    model = xgb.train(
        {**PARAMS, "eval_metric": "logloss", "seed": 7},
        matrix(train, kinds),
        300,
        evals=[(matrix(validation, kinds), "validation")],
        early_stopping_rounds=20,
        verbose_eval=False,
    )

    def scores(rows: pl.DataFrame) -> np.ndarray:
        return model.predict(matrix(rows, kinds), iteration_range=(0, model.best_iteration + 1))

    threshold = best_threshold(validation["late"].to_numpy(), scores(validation), "f1")
    label, score = test["late"].to_numpy(), scores(test)
    calibration, others = fit(label, score), fit_resamples(label, score, RESAMPLES)
    held_out = measure(label, score, score >= threshold)
    print(f"calibrated on {calibration.rows:,} test rows ({calibration.method})")
    print("test rows  " + "  ".join(f"{name} {held_out[name].value:.4f}" for name in METRICS))
    print(f"\n{'month':9} {'rows':>7}  " + "  ".join(f"{name + ': estimated':>22} {'realised':>8}" for name in METRICS))
    for name in flights.names()[9:]:
        rows = months[name]
        line(name, rows["late"].to_numpy(), scores(rows), threshold, calibration, others)

    print("\nDecember with labels turned around in a share of its rows (concept drift)")
    rows = months["2013-12"]
    score, draws = scores(rows), np.random.default_rng(7)
    for share in (0.05, 0.2):
        turned = rows["late"].to_numpy() ^ (draws.random(rows.height) < share)
        line(f"{share:.0%}", turned, score, threshold, calibration, others)


def line(
    name: str, label: np.ndarray, score: np.ndarray, threshold: float, known: Calibration, others: list[Calibration]
) -> None:
    decision = score >= threshold
    guessed, real = estimate(score, decision, known, others), measure(label, score, decision)
    shown = [
        f"{guessed[one].value:>12.4f} ± {1.96 * guessed[one].standard_error:.4f}  {real[one].value:>8.4f}"
        for one in METRICS
    ]
    print(f"{name:9} {len(label):>7,}  " + "  ".join(shown))


def matrix(rows: pl.DataFrame, kinds: dict[str, pl.Enum]) -> xgb.DMatrix:
    """The label and the features; a category that training never saw is a missing value."""
    columns = [pl.col(name).cast(kind, strict=False).to_physical().cast(pl.Float32) for name, kind in kinds.items()]
    found = rows.select(*columns, pl.col(NUMERIC).cast(pl.Float32)).to_numpy()
    types = ["c"] * len(CATEGORICAL) + ["q"] * len(NUMERIC)
    return xgb.DMatrix(found, rows["late"].to_numpy(), feature_types=types, enable_categorical=True, nthread=2)


if __name__ == "__main__":
    main()
