"""The paired bootstrap beside what it stands for: scikit-learn's metrics of drawn rows, and losses that are known."""

import numpy as np
import pytest

from penstock.metrics import binary_metrics
from penstock.paired import Loss, Question, holm, losses
from penstock.weighted_metrics import binary_statistic

BINS = 15
METRICS = binary_metrics(np.array([True, False]), np.array([0.5, 0.4], np.float32), 0.5, BINS)


def rows(n: int, seed: int, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(label, champion's scores, a candidate's that are a little noisier)."""
    draws = np.random.default_rng(seed)
    label = draws.random(n) < 0.25
    score = np.clip(0.2 + 0.2 * label + draws.normal(0, 0.15, n), 0, 1)
    other = np.clip(score + draws.normal(0, 0.05, n), 0, 1)
    digits = 2 if ties else 6
    return label, score.round(digits).astype(np.float32), other.round(digits).astype(np.float32)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_weights_are_rows_drawn_so_often(metric, ties):
    label, score, _ = rows(601, 1, ties)
    drawn = np.bincount(np.random.default_rng(2).integers(0, 601, 601), minlength=601)
    found = binary_statistic(metric, label, score, 0.35, BINS)(np.stack([np.ones(601), drawn]))
    once = binary_metrics(label, score, 0.35, BINS)[metric]
    again = binary_metrics(np.repeat(label, drawn), np.repeat(score, drawn), 0.35, BINS)[metric]
    assert found == pytest.approx([once, again], abs=1e-7)


def test_what_one_class_leaves_undefined_has_no_value():
    label, score = np.zeros(50, bool), np.linspace(0, 1, 50, dtype=np.float32)
    for metric in ("auc", "average_precision"):
        assert np.isnan(binary_statistic(metric, label, score, 0.5, BINS)(np.ones((1, 50)))).all()
    [loss] = losses([question("auc", label, score, score)], 50, 20, 1)
    assert (loss.loss, loss.error, loss.interval(0.95)) == (None, None, None)
    assert (loss.above(0.1), loss.within(0.1)) == (1, 1)


def question(metric, label, champion, candidate, at=None, **of):
    part = slice(None) if at is None else at
    made = [binary_statistic(metric, label[part], score[part], 0.35, BINS) for score in (candidate, champion)]
    return Question(metric, metric in ("log_loss", "brier"), *made, at, **of)


def test_a_pair_is_far_surer_than_two_models_apart():
    label, champion, candidate = rows(4000, 3)
    [paired] = losses([question("auc", label, champion, candidate)], 4000, 300, 7)
    apart = [binary_statistic("auc", label, score, 0.35, BINS) for score in (champion, candidate)]
    draws = np.random.default_rng(4)
    weights = [np.stack([np.bincount(draws.integers(0, 4000, 4000), minlength=4000) for _ in range(300)]) for _ in "ab"]
    spread = float((apart[0](weights[0]) - apart[1](weights[1])).std())
    assert paired.error < spread / 2
    assert paired.loss > 0


def test_its_limits_hold_the_true_loss_as_often_as_they_say():
    inside = 0
    for seed in range(200):
        draws = np.random.default_rng(seed)
        label = draws.random(500) < 0.5
        right = draws.random(500) < 0.8  # the champion; the candidate is right in 0.75: the true loss is 0.05
        worse = np.where(draws.random(500) < 0.05 / 0.8, False, right)
        champion, candidate = (np.where(one, label, ~label).astype(np.float32) for one in (right, worse))
        [loss] = losses([question("accuracy", label, champion, candidate)], 500, 100, seed)
        inside += loss.interval(0.95)[0] <= 0.05 <= loss.interval(0.95)[1]
    assert 168 <= inside <= 192  # 90 % of 200, and three standard errors


def test_the_same_model_loses_nothing_and_a_slice_is_its_own_rows():
    label, champion, candidate = rows(900, 5)
    at = np.flatnonzero(np.arange(900) % 3 == 0)
    whole, part = losses(
        [question("brier", label, champion, champion), question("brier", label, champion, candidate, at, column="c")],
        900, 50, 1,
    )  # fmt: skip
    assert (whole.loss, whole.error, whole.within(0), whole.above(0)) == (0, 0, 1, 0)
    assert (part.rows, part.column) == (300, "c")
    direct = [binary_metrics(label[at], score[at], 0.35, BINS)["brier"] for score in (candidate, champion)]
    assert part.loss == pytest.approx(direct[0] - direct[1])


def test_rows_needed_is_what_would_be_enough():
    loss = Loss(metric="auc", rows=1000, loss=0.002, error=0.01)
    needed = loss.rows_needed(0.01, 0.95)
    assert loss.interval(0.95)[1] > 0.01
    enough = loss.model_copy(update={"rows": needed, "error": 0.01 * (1000 / needed) ** 0.5})
    assert enough.interval(0.95)[1] == pytest.approx(0.01, abs=1e-5)
    assert Loss(metric="auc", rows=1000, loss=0.02, error=0.01).rows_needed(0.01, 0.95) is None


def test_holm_goes_down_step_by_step():
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]  # the example of Holm's tables
    assert holm([0.01, 0.02, 0.03], 0.05) == [True, True, True]
    assert holm([], 0.05) == []


def test_a_seed_says_it_all():
    label, champion, candidate = rows(500, 6)
    asked = [question("f1", label, champion, candidate)]
    assert losses(asked, 500, 40, 1) == losses(asked, 500, 40, 1, threads=3) != losses(asked, 500, 40, 2)


def test_of_many_rows_fewer_weights_are_held_and_nothing_changes(monkeypatch):
    label, champion, candidate = rows(900, 7)
    at = np.flatnonzero(np.arange(900) % 3 == 0)
    held = []

    def counted(statistic):
        def of(weights):
            held.append(weights.size)
            return statistic(weights)

        return of

    asked = [question(metric, label, champion, candidate) for metric in METRICS]
    asked += [question("auc", label, champion, candidate, at), question("brier", label, champion, candidate, at)]
    asked.append(Question("brier", True, counted(asked[0].candidate), asked[0].champion))
    at_once = losses(asked, 900, 40, 1)
    assert max(held) == 16 * 900
    held.clear()
    monkeypatch.setattr("penstock.paired.MOST", 5000)
    assert losses(asked, 900, 40, 1) == at_once
    assert max(held) == 5 * 900
    monkeypatch.setattr("penstock.paired.MOST", 1)
    assert losses(asked, 900, 40, 1) == at_once
