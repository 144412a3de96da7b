"""The tiny project's model beside a worse one: what is found between them is what scikit-learn says of both."""

import polars as pl
import pytest

from penstock.config import GateConfig
from penstock.errors import DataError
from penstock.refs import Evaluation
from tasks.store import store
from tasks.training.evaluation import evaluate_model
from tasks.training.gating import gate_candidate
from tasks.training.leaking import measure_features
from tasks.training.pairing import compare_with_champion
from tasks.training.training import train_model
from tests.trained import Trained

GATE = GateConfig.model_validate({
    "metrics": {
        "auc": {"max_loss": 0.05}, "log_loss": {"max_loss": 0.02}, "f1": {"max_relative_loss": 0.1},
        "brier": {"max": 1},
    },
    "slices": {"auc": {"max_loss": 0.1}},
    "min_rows": 100, "min_positives": 20, "resamples": 200,
})  # fmt: skip


@pytest.fixture
def pair(checkout, monkeypatch):
    """(project with its splits, its evaluation, that of a model with one tree)."""
    whole = Trained(monkeypatch)
    project = whole.project
    stump = train_model(whole.splits, project.features, project.train.model_copy(update={"rounds": 1}))
    other = evaluate_model(whole.splits, stump, project.features, project.evaluate, project.train.target)
    return whole, whole.evaluation, other


def compared(pair, candidate: Evaluation, champion: Evaluation):
    whole = pair[0]
    found = compare_with_champion(whole.splits, candidate, champion, GATE, whole.project.evaluate)
    return {(loss.metric, loss.column, loss.value): loss for loss in found.losses}


def test_every_bound_beside_the_champion_is_measured_on_all_rows_and_each_slice(pair):
    _, mine, stump = pair
    found = compared(pair, stump, mine)
    documents = [store.read_json(one.metrics) for one in (stump, mine)]
    parts = [{("", ""): one, **{(part["column"], part["value"]): part for part in one["slices"]}} for one in documents]
    assert {metric for metric, column, _ in found if not column} == {"auc", "f1", "log_loss"}
    assert {value for _, column, value in found if column == "color"} == {"blue", "green", "red"}
    for (metric, column, value), loss in found.items():
        lost, kept = (part[column, value]["metrics"][metric] for part in parts)
        assert loss.loss == pytest.approx(lost - kept if metric == "log_loss" else kept - lost, abs=1e-6)
        assert loss.rows == parts[0][column, value]["rows"]
        assert loss.error > 0
    assert found["log_loss", "", ""].loss > 0
    again = compared(pair, mine, mine)
    assert all((loss.loss, loss.error) == (0, 0) for loss in again.values())


def test_the_gate_decides_by_it(pair):
    whole, mine, stump = pair
    project = whole.project
    alone = measure_features(whole.splits, project.features, project.train.task)
    for candidate, champion in ((mine, stump), (stump, mine)):
        losses = compare_with_champion(whole.splits, candidate, champion, GATE, whole.project.evaluate)
        decision = gate_candidate(
            candidate, champion, losses, None, GATE, project.evaluate, {}, None, None, alone, None
        )
        check = next(one for one in decision.checks if one.name == "log_loss")
        assert check.passed is (candidate is mine)
        assert check.low < check.loss < check.high


def test_a_champion_that_could_not_be_scored_has_no_losses(pair):
    whole, mine, stump = pair
    gone = stump.model_copy(update={"metrics": store.put_json({"incomparable": "its features are gone"}, "m.json")})
    assert compare_with_champion(whole.splits, mine, gone, GATE, whole.project.evaluate).losses == ()


def test_other_rows_are_named(pair):
    _, mine, stump = pair
    with store.new_file("predictions.parquet") as draft:
        pl.read_parquet(store.locate(stump.predictions)).head(50).write_parquet(draft.path)
    with pytest.raises(DataError, match="different test rows"):
        compared(pair, mine, stump.model_copy(update={"predictions": draft.ref}))
