"""Declared behaviour tried on models of the tiny project, and judged by its gate."""

from __future__ import annotations

from penstock.behaviour_config import BehaviourTest
from tasks.training.behaving import try_behaviour
from tasks.training.gating import gate_candidate
from tasks.training.leaking import measure_features
from tests.tasks.test_training_steps import Data


def judged(data: Data, **tests):
    declared = {name: BehaviourTest.model_validate(test) for name, test in tests.items()}
    project = data.project
    splits = data.split()
    model = data.train(splits)
    evaluation = data.evaluate(splits, model)
    behaviour = try_behaviour(splits, model, evaluation, project.features, declared)
    assert behaviour == try_behaviour(splits, model, evaluation, project.features, declared)
    alone = measure_features(splits, project.features, project.train.task)
    decision = gate_candidate(
        evaluation, None, None, None, project.gate, project.evaluate, declared, behaviour, None, alone, None
    )
    return behaviour, {check.name: check for check in decision.checks if check.name.startswith("behaviour")}, decision


def test_a_model_is_held_to_what_is_declared(checkout, monkeypatch):
    up = {"feature": "size", "add": 40, "tolerance": 0.1, "max_share": 0.05}
    far = {"rows": [{"size": 95, "color": "red", "wet": False}], "min": 0.7, "answer": True}
    behaviour, checks, decision = judged(
        Data(monkeypatch),
        larger={"direction": {**up, "score": "up"}},
        smaller={"direction": {**up, "score": "down"}},
        rain={"invariance": {"feature": "wet", "values": [True, False], "tolerance": 0.2, "max_share": 0.05}},
        color={"invariance": {"feature": "color", "values": ["red", "blue"], "tolerance": 0.02, "max_share": 0.05}},
        far={"example": far},
        near={"example": {**far, "rows": [{"size": 5, "color": "blue"}]}},
    )
    passed = {name.removeprefix("behaviour: ") for name, check in checks.items() if check.passed}
    assert passed == {"larger", "rain", "far"}
    assert behaviour.tried["larger"].rows > 300
    assert len(decision.reasons) == 3 and not decision.passed
    assert "the worst: row " in checks["behaviour: smaller"].note


def test_of_a_regression_it_is_the_prediction(checkout, monkeypatch):
    checkout.task("regression")
    example = {"rows": [{"size": 95, "color": "red"}], "min": 40, "max": 60}
    _, checks, _ = judged(Data(monkeypatch), far={"example": example})
    assert checks["behaviour: far"].passed


def test_of_several_classes_it_is_a_probability(checkout, monkeypatch):
    checkout.task("multiclass")
    rule = {"feature": "size", "add": 50, "tolerance": 0.1, "max_share": 0.05, "score": "up"}
    _, checks, _ = judged(
        Data(monkeypatch),
        late={"direction": {**rule, "of": "late"}},
        early={"direction": {**rule, "of": "early"}},
    )
    assert [check.passed for check in checks.values()] == [True, False]
