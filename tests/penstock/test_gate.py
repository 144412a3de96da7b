"""The gate: every rule has a planted defect that closes it and a clean twin that passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config import EvaluateConfig, GateConfig
from penstock.gate import decide
from penstock.paired import Loss
from penstock.task_type import LOWER_IS_BETTER

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


def between(candidate: dict[str, Any], baseline: dict[str, Any], error: float = 0) -> list[Loss]:
    """What `tasks/training/pairing.py` would find between the two, were every standard error ``error``."""
    found = []
    for mine, other in [(candidate, baseline), *zip(candidate["slices"], baseline.get("slices", ()), strict=False)]:
        for metric, value in mine["metrics"].items():
            base = other.get("metrics", {}).get(metric)
            known = value is not None and base is not None
            loss = (value - base if metric in LOWER_IS_BETTER else base - value) if known else None
            of = {"metric": metric, "rows": mine["rows"], "loss": loss, "error": error if known else None}
            found.append(Loss(**of, column=mine.get("column", ""), value=mine.get("value", "")))
    return found


def verdict(
    candidate: dict[str, Any],
    baseline: dict[str, Any] | None = None,
    gate: GateConfig = GATE,
    error: float = 0,
    **more: Any,
) -> tuple[str, ...]:
    losses = between(candidate, baseline, error) if baseline else ()
    return decide(gate, EVALUATE, candidate, baseline, "flights-v1" if baseline else "", losses=losses, **more).reasons


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


SURE = GateConfig.model_validate({"metrics": {"auc": {"max_loss": 0.01}}, "min_rows": 10})


@pytest.mark.parametrize(
    ("lost", "error", "reason"),
    [
        (-0.002, 0.006, None),  # at most 0.0079
        (0.002, 0.006, "cannot tell: needs about 2,700 more test rows"),
        (0.0101, 0.001, "on these rows it is beyond that, perhaps by chance"),
        (0.02, 0.005, "worse than that, surely"),
    ],
)
def test_that_it_is_no_worse_has_to_be_shown(lost: float, error: float, reason: str | None) -> None:
    reasons = verdict(measured(), measured(metrics={"auc": 0.7 + lost, "log_loss": 0.5}), SURE, error)
    assert reasons == () if reason is None else len(reasons) == 1 and reason in reasons[0], reasons


def test_a_change_that_was_not_measured_is_not_passed() -> None:
    base = measured(metrics={"auc": 0.69, "log_loss": 0.5})
    assert "was not measured" in decide(SURE, EVALUATE, measured(), base, "flights-v1").reasons[0]


def test_a_check_says_what_is_sure_of_its_loss() -> None:
    base = measured(metrics={"auc": 0.698, "log_loss": 0.5})
    losses = between(measured(), base, 0.001)
    check = next(one for one in decide(SURE, EVALUATE, measured(), base, "v1", losses=losses).checks if one.loss)
    assert str(check) == (
        "auc: 0.7, champion 0.698, loss -0.002 (at most -0.000355 with 95 %), must be at most 0.01 worse"
    )
    assert check.low == pytest.approx(-0.003645, abs=1e-6)


def sliced(*aucs: float, rows: int = 400) -> dict[str, Any]:
    return measured(
        slices=[
            {"column": "origin", "value": f"A{at:02}", "rows": rows, "positives": 100, "metrics": {"auc": auc}}
            for at, auc in enumerate(aucs)
        ]
    )


IN_SLICES = GateConfig.model_validate({
    "metrics": {"auc": {"min": 0.6}}, "slices": {"auc": {"max_loss": 0.02}}, "min_rows": 10, "ties": "accept",
})  # fmt: skip
NOISE = (0.02, -0.025, 0.03, -0.01, 0.005, -0.03, 0.015, 0.0, -0.015, 0.028, -0.02, 0.01)


def test_slices_that_differ_as_chance_makes_them_pass() -> None:
    base = sliced(*[0.7] * len(NOISE))
    assert max(NOISE) > 0.02
    assert verdict(sliced(*(0.7 - lost for lost in NOISE)), base, IN_SLICES, error=0.02) == ()


def test_a_slice_that_is_surely_worse_fails_and_no_other() -> None:
    reasons = verdict(sliced(0.58, *(0.7 - lost / 3 for lost in NOISE)), sliced(*[0.7] * 13), IN_SLICES, error=0.02)
    assert len(reasons) == 1 and "auc on origin=A00" in reasons[0] and "surely, also as one of 13" in reasons[0]


def test_one_of_many_must_be_surer_than_one_alone() -> None:
    for others, passes in ((0, False), (12, True)):
        found = verdict(
            sliced(0.7 - 0.045, *[0.7 - lost for lost in NOISE[:others]]),
            sliced(*[0.7] * (1 + others)), IN_SLICES, error=0.02,
        )  # fmt: skip
        assert (found == ()) is passes, found


def test_slices_that_are_all_a_little_worse_are_likely_worse() -> None:
    reasons = verdict(sliced(*[0.675] * 6), sliced(*[0.7] * 6), IN_SLICES, error=0.02)
    assert len(reasons) == 6 and all("worse than that, likely" in reason for reason in reasons)


@pytest.mark.parametrize("policy", ["fail", "ignore"])
def test_a_metric_that_is_missing(policy: str) -> None:
    gate = GATE.model_copy(update={"on_missing_metric": policy})
    one_class = {**measured()["slices"][0], "metrics": {"auc": None}}
    assert (verdict(measured(slices=[one_class]), gate=gate) == ()) is (policy == "ignore")
    assert (verdict(measured(metrics={"auc": None, "log_loss": 0.5}), gate=gate) == ()) is (policy == "ignore")
    nothing = verdict(measured(metrics={}), gate=gate)
    assert any("thresholds" in reason for reason in nothing) is (policy == "ignore") and nothing
