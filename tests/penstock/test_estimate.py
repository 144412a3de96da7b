"""The estimate is right where its assumption holds, wrong where it does not, and says what it is."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from penstock.calibration import fit, fit_resamples
from penstock.errors import DataError
from penstock.estimate import DRAWS, estimate
from penstock.live_metrics import measure

METRICS = ("auc", "accuracy", "f1", "log_loss")


def world(rows: int, seed: int, shift: float = 0.0, concept: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(label, score): a model that is sure of itself too much. ``shift`` moves what is asked; ``concept`` moves the
    chance of True for the same row, which no score shows."""
    draws = np.random.default_rng(seed)
    odds = draws.normal(-1 + shift, 1.2, rows)
    label = draws.random(rows) < 1 / (1 + np.exp(-odds - concept))
    return label, (1 / (1 + np.exp(-1.8 * odds - 0.5))).astype(np.float32)


@pytest.mark.parametrize("rows", [1500, 20_000])  # Platt, isotonic
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_it_finds_what_is_realised_though_the_scores_are_off_and_the_rows_moved(rows, shift):
    known = world(rows, 1)
    calibration, others = fit(*known), fit_resamples(*known, 10)
    assert calibration.method == ("Platt" if rows < 5000 else "isotonic")
    label, score = world(8000, 2, shift)
    found, real = estimate(score, score >= 0.5, calibration, others), measure(label, score, score >= 0.5)
    for name in METRICS:
        assert abs(found[name].value - real[name].value) < 4 * found[name].standard_error, name
        assert found[name].kind == "estimate" and "no concept drift" in str(found[name])
    naive = float(np.mean(np.where(score >= 0.5, score, 1 - score)))  # believing the scores as they are
    assert abs(naive - real["accuracy"].value) > 5 * abs(found["accuracy"].value - real["accuracy"].value)


def test_concept_drift_is_what_it_cannot_see():
    known = world(20_000, 1)
    label, score = world(8000, 2, concept=2.0)
    found, real = estimate(score, score >= 0.5, fit(*known)), measure(label, score, score >= 0.5)
    assert abs(found["log_loss"].value - real["log_loss"].value) > 10 * found["log_loss"].standard_error


def test_the_standard_error_is_the_spread_of_what_is_realised():
    calibration = fit(*world(20_000, 1))
    score = world(1000, 5)[1]
    chance, draws = calibration(score), np.random.default_rng(11)
    spread = np.std([roc_auc_score(draws.random(1000) < chance, score) for _ in range(300)])
    assert estimate(score, score >= 0.5, calibration)["auc"].standard_error == pytest.approx(spread, rel=0.3)


def test_the_expected_auc_is_that_of_all_pairs():
    calibration, score = fit(*world(2000, 1)), np.round(world(80, 4)[1], 1)
    chance = calibration(score)
    pairs = chance[:, None] * (1 - chance[None, :])
    np.fill_diagonal(pairs, 0)
    order = (score[:, None] > score[None, :]) + 0.5 * (score[:, None] == score[None, :])
    assert estimate(score, score >= 0.5, calibration)["auc"].value == pytest.approx((pairs * order).sum() / pairs.sum())


def test_the_same_answers_give_the_same_estimate():
    calibration, score = fit(*world(2000, 1)), world(500, 4)[1]
    assert estimate(score, score >= 0.5, calibration) == estimate(score, score >= 0.5, calibration)
    assert DRAWS > 30


def test_calibration_rises_and_is_never_certain():
    for rows in (300, 20_000):
        calibration = fit(*world(rows, 1))
        found = calibration(np.linspace(0, 1, 1001))
        assert (np.diff(found) >= 0).all()
        assert found.min() > 0 and found.max() < 1
    with pytest.raises(DataError, match="one class"):
        fit(np.array([True, True]), np.array([0.1, 0.2]))


def test_nothing_served_has_no_estimate():
    nothing = np.array([], dtype=np.float32)
    assert estimate(nothing, nothing > 0, fit(*world(2000, 1))) == {}
