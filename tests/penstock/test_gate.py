"""The gate: every rule has a planted defect that closes it and a clean twin that passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config import EvaluateConfig, GateConfig
from penstock.gate import decide

EVALUATE = EvaluateConfig(slices=("origin",), min_slice_rows=100)
GATE = GateConfig.model_validate({
    "metrics": {"auc": {"min": 0.6, "max_loss": 0.01}, "log_loss": {"max": 0.6}},
    "slices": {"auc": {"min": 0.55}},
    "min_rows": 1000,
    "min_positives": 50,
})  # fmt: skip


def measured(**changes: Any) -> dict[str, Any]:
    found = {
        "rows": 5000,
        "positives": 1000,
        "metrics": {"auc": 0.7, "log_loss": 0.5},
        "slices": [{"column": "origin", "value": "JFK", "rows": 2000, "positives": 400, "metrics": {"auc": 0.69}}],
        "latency_ms": {"p50": 0.2, "p95": 0.4},
        "size_bytes": 1_000_000,
    }
    return {**copy.deepcopy(found), **changes}


def verdict(
    candidate: dict[str, Any], baseline: dict[str, Any] | None = None, gate: GateConfig = GATE, **more: Any
) -> tuple[str, ...]:
    return decide(gate, EVALUATE, candidate, baseline, "flights-v1" if baseline else "", **more).reasons


def test_a_good_candidate_passes_alone_and_beside_a_champion() -> None:
    assert verdict(measured()) == ()
    assert verdict(measured(), measured(metrics={"auc": 0.705, "log_loss": 0.5})) == ()


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (measured(metrics={"auc": 0.59, "log_loss": 0.5}), "auc: 0.59, must be at least 0.6"),
        (measured(metrics={"auc": 0.7, "log_loss": 0.61}), "log_loss: 0.61, must be at most 0.6"),
        (measured(metrics={"log_loss": 0.5}), "auc: nothing"),
        (measured(metrics={"auc": None, "log_loss": 0.5}), "auc: nothing"),
        (measured(metrics={"auc": float("nan"), "log_loss": 0.5}), "auc: nothing"),
        (measured(rows=999, positives=400), "test rows: 999"),
        (measured(positives=49), "rarer class: 49"),
        (measured(positives=4960), "rarer class: 40"),
        (measured(size_bytes=200_000_000), "model size, MB: 200"),
        (measured(latency_ms={"p50": 51.0}), "one row, ms (median): 51"),
        (measured(latency_ms={}), "one row, ms (median): nothing"),
        (measured(slices=[]), "no slice is large enough"),
    ],
)
def test_a_planted_defect_closes_the_gate(candidate: dict[str, Any], reason: str) -> None:
    reasons = verdict(candidate)
    assert len(reasons) == 1 and reason in reasons[0], reasons


def test_bounds_are_inclusive() -> None:
    assert verdict(measured(metrics={"auc": 0.6, "log_loss": 0.6})) == ()


def test_nothing_configured_passes_nothing() -> None:
    reasons = verdict(measured(), gate=GateConfig())
    assert any("thresholds" in reason for reason in reasons)


def test_a_bad_slice_closes_the_gate_and_a_small_one_is_not_judged() -> None:
    bad = {"column": "origin", "value": "LGA", "rows": 100, "positives": 50, "metrics": {"auc": 0.4}}
    assert "auc on origin=LGA" in verdict(measured(slices=[*measured()["slices"], bad]))[0]
    assert verdict(measured(slices=[*measured()["slices"], {**bad, "rows": 99}])) == ()


def test_worse_than_the_champion_is_rejected_in_either_direction() -> None:
    gate = GateConfig.model_validate(
        {"metrics": {"auc": {"max_loss": 0.01}, "log_loss": {"max_loss": 0.01}}, "min_rows": 10}
    )
    base = measured(metrics={"auc": 0.75, "log_loss": 0.40})
    assert [reason.split(":")[0] for reason in verdict(measured(), base, gate)] == ["auc", "log_loss"]
    assert verdict(measured(), measured(metrics={"auc": 0.65, "log_loss": 0.6}), gate) == ()


def test_a_relative_change_is_over_the_absolute_baseline() -> None:
    gate = GateConfig.model_validate({"metrics": {"auc": {"max_relative_loss": 0.1}}, "min_rows": 10})
    for base, candidate, passes in [(-0.2, -0.21, True), (-0.2, -0.3, False), (0.0, 0.0, True), (0.0, -0.1, False)]:
        found = verdict(
            measured(metrics={"auc": candidate, "x": 1}), measured(metrics={"auc": base, "x": 2}), gate, same_model=True
        )
        assert (found == ()) is passes, (base, candidate, found)


def test_a_tie_keeps_the_current_model_unless_it_is_the_same_model() -> None:
    assert "tie" in verdict(measured(), measured())[0]
    assert verdict(measured(), measured(), same_model=True) == ()
    assert verdict(measured(), measured(), GATE.model_copy(update={"ties": "accept"})) == ()


def test_a_champion_that_cannot_be_scored_fails_closed() -> None:
    gone = {"incomparable": "it needs seats, which is no feature now"}
    assert "needs seats" in verdict(measured(), gone)[0]
    assert verdict(measured(), gone, GATE.model_copy(update={"incomparable": "value_only"})) == ()


@pytest.mark.parametrize(("policy", "passes"), [("value_only", True), ("require_approval", False), ("fail", False)])
def test_the_first_model(policy: str, passes: bool) -> None:
    assert (verdict(measured(), gate=GATE.model_copy(update={"first_model": policy})) == ()) is passes


@given(auc=st.floats(0, 1), base=st.floats(0, 1))
def test_passing_means_that_every_bound_holds(auc: float, base: float) -> None:
    passed = not verdict(
        measured(metrics={"auc": auc, "log_loss": 0.5}), measured(metrics={"auc": base, "log_loss": 0.4})
    )
    assert passed == (auc >= 0.6 and base - auc <= 0.01)
