"""What is made of a Rollout's JSON, field by field as Argo Rollouts' types have them."""

from __future__ import annotations

import pytest

from penstock.kube_rollout import analysis_names, seen

DIGEST = "sha256:" + "7" * 64
STEPS = [{"setWeight": 25}, {"pause": {}}, {"setWeight": 100}]


def rollout(image: str = f"r/model@{DIGEST}", generation: int = 2, **status) -> dict:
    template = {"spec": {"containers": [{"name": "model", "image": image}]}}
    return {
        "metadata": {"generation": generation},
        "spec": {"template": template, "strategy": {"canary": {"steps": STEPS}}},
        "status": {"observedGeneration": "2", "currentPodHash": "b", "stableRS": "a", **status},
    }


def run(phase: str, **metric) -> dict:
    return {"status": {"phase": phase, "metricResults": [{"name": "errors", "phase": phase, **metric}]}}


@pytest.mark.parametrize(
    ("found", "runs", "state"),
    [
        ({}, [], "absent"),
        (rollout("r/model:v1"), [], "absent"),
        (rollout(phase="Healthy", currentPodHash="a", generation=3), [], "going"),  # that was about the one before
        (rollout(phase="Healthy", currentPodHash="a"), [], "healthy"),
        (rollout(phase="Healthy"), [], "going"),
        (rollout(phase="Paused", pauseConditions=[{"reason": "CanaryPauseStep"}]), [], "going"),
        (rollout(phase="Paused", pauseConditions=[{"reason": "InconclusiveAnalysisRun"}]), [], "paused"),
        (rollout(phase="Degraded", abort=True), [run("Failed")], "failed"),
        (rollout(phase="Degraded", abort=True), [run("Error")], "held"),
        (rollout(phase="Degraded", abort=True), [run("Error"), run("Failed")], "failed"),
        (rollout(phase="Degraded", message="ProgressDeadlineExceeded"), [], "failed"),
        (
            rollout(phase="Degraded", conditions=[{"type": "InvalidSpec", "status": "True", "message": "no service"}]),
            [],
            "held",
        ),
    ],
)
def test_the_state_of_a_rollout(found, runs, state):
    assert seen(found, DIGEST, runs).state == state


def test_the_reasons_are_what_was_measured_or_what_argo_said():
    bad = rollout(phase="Degraded", abort=True, message="aborted", currentStepIndex=1)
    measured = seen(bad, DIGEST, [run("Failed", measurements=[{"value": "[3]"}])])
    assert (measured.step, measured.reasons) == ("step 2 of 3, 25 %", ("errors: failed, measured [3]",))
    assert seen(bad, DIGEST, []).reasons == ("aborted",)


def test_the_analysis_runs_are_those_of_the_status():
    both = {
        "currentStepAnalysisRunStatus": {"name": "one"},
        "currentBackgroundAnalysisRunStatus": {"name": "two"},
    }
    assert analysis_names(rollout(canary=both)) == ["one", "two"]
    assert analysis_names({}) == []
