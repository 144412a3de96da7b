"""The main job whole, on a small table, with the real DVC, XGBoost, BentoML, MLflow, whylogs and Prefect."""

from __future__ import annotations

import json
import urllib.request

import pytest

from flows.ingest import ingest
from flows.plan import nothing_to_do, plan_run
from flows.run import run
from flows.train import train
from penstock.errors import Rejected
from tasks.registry.registry import read_ledger
from tasks.reports.reporting import report_path
from tasks.rollout.rollback import answering
from tasks.store import store

STRICT = {"metrics": {"auc": {"min": 0.99}}}


def steps(config: str = "tiny") -> dict[str, tuple[bool, tuple[str, ...]]]:
    return {step.name: (step.runs, step.reasons) for step in plan_run(config)}


def flow_runs(api: str) -> int:
    request = urllib.request.Request(f"{api}/flow_runs/count", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def test_from_nothing_to_a_release_and_then_nothing_to_do(live, prefect_api):
    assert steps()["ingest"] == (True, ("not in the dataset yet: b1 .. b3, 3 batches",))
    done = run("tiny")
    outcome = done.outcome
    release, candidate = outcome.release, outcome.candidate
    assert (release.version, release.verdict, release.new) == ("tiny-v1", "blessed", True)
    assert candidate.check.max_difference == 0
    assert candidate.decision.passed
    assert store.intact(release.record)
    assert "tiny-v1" in report_path("tiny").read_text()
    assert [event.kind for event in read_ledger("tiny")] == ["registered", "staged", "promoted", "healthy"]
    assert (done.deployment.result, done.deployment.serving) == ("healthy", "tiny-v1")
    assert answering("tiny") == "tiny-v1"

    mirrored(outcome)

    before = flow_runs(prefect_api)
    again = nothing_to_do("tiny")
    assert again is not None
    assert again.release.version == "tiny-v1"
    assert flow_runs(prefect_api) == before
    assert not any(runs for runs, _ in steps().values())


def mirrored(outcome) -> None:
    """MLflow has the run with its curve, and a model version that says what it came from; telling it twice is once."""
    from mlflow import MlflowClient

    from tasks.data.project import load_project
    from tasks.reports.mlflow_mirror import mirror_to_mlflow, tracking_uri

    mirror_to_mlflow.fn(outcome.candidate, outcome.release, outcome.report, load_project("tiny"))
    client = MlflowClient(tracking_uri(), tracking_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert found.data.metrics["auc"] == store.read_json(outcome.candidate.evaluation.metrics)["metrics"]["auc"]
    assert found.data.params["train.params.max_depth"] == "3"
    curve = client.get_metric_history(found.info.run_id, "loss_validation")
    assert len(curve) == outcome.candidate.model.rounds
    assert {file.path for file in client.list_artifacts(found.info.run_id)} >= {
        "report.html",
        "record.json",
        "model",
        "plots",
    }
    version = client.get_model_version_by_alias("tiny", "blessed")
    assert version.tags["penstock.version"] == "tiny-v1"
    assert client.get_model_version_by_alias("tiny", "champion").version == version.version  # deploy told who serves
    assert version.tags["penstock.dataset"] == outcome.candidate.dataset.version
    assert version.tags["penstock.bento"] == outcome.candidate.package.tag
    assert version.tags["penstock.environment"] == outcome.candidate.lineage.environment
    assert client.get_registered_model("tiny").description.startswith("Shows that the whole works.")
    assert len(client.search_model_versions("name = 'tiny'")) == 1


def test_a_change_runs_what_it_changes_and_plan_says_so_beforehand(released):
    released.change(train={"params": {"max_depth": 4}})
    plan = steps()
    assert {name for name, (runs, _) in plan.items() if not runs} >= {"validate dataset", "split dataset"}
    assert plan["train model"] == (True, ("config: train.params.max_depth changed (3 -> 4)",))
    assert plan["evaluate model"] == (True, ("needs what `train model` makes",))
    second = train("tiny")
    assert second.release.version == "tiny-v2"
    assert second.candidate.champion.version == "tiny-v1"
    assert second.candidate.baseline is not None

    released.change(train={"params": {"max_depth": 3}})  # back: that release is there already
    assert train("tiny").release.version == "tiny-v1"
    assert len(read_ledger("tiny")) == 2


def test_a_search_for_parameters_is_a_step_like_any_other(released):
    assert "tune model" not in steps()
    space = {"eta": {"low": 0.05, "high": 0.5, "log": True}}
    released.change(train={"params": {"eta": None}}, tune={"space": space, "trials": 6})
    assert steps()["tune model"] == (True, ("no earlier run",))
    candidate = train("tiny").candidate
    assert candidate.tuned.tried == 6 and candidate.tuned.reproducible
    assert candidate.tuned.train.params == {"max_depth": 3, **candidate.tuned.params}
    report = report_path("tiny").read_text()
    assert "<h2>Tuning</h2>" in report and "All 6 trials" in report
    assert all(not runs for name, (runs, _) in steps().items() if name != "deploy")

    released.change(gate={"metrics": {"auc": {"min": 0.61}}})  # not what is searched for
    assert steps()["tune model"] == (False, ())
    assert train("tiny").candidate.tuned == candidate.tuned
    released.change(tune={"trials": 8})
    assert steps()["tune model"] == (True, ("config: tune.trials changed (6 -> 8)",))
    assert steps()["train model"] == (True, ("needs what `tune model` makes",))


def test_a_candidate_that_the_gates_refuse(live, prefect_api):
    """The planted defect: a bound that no model of this table meets. The clean twin is every other test here."""
    live.change(gate=STRICT)
    with pytest.raises(Rejected) as caught:
        run("tiny")
    assert "auc" in caught.value.found
    assert "at least 0.99" in caught.value.found
    (event,) = read_ledger("tiny")
    assert (event.kind, event.version) == ("rejected", "")
    assert "REJECTED" in report_path("tiny").read_text().upper()
    last = _states(prefect_api, "train")[-1]["state"]
    assert (last["type"], last["name"]) == ("FAILED", "Rejected")

    with pytest.raises(Rejected):  # the same again: told at once, recorded once
        run("tiny")
    assert len(read_ledger("tiny")) == 1


def _states(api: str, flow: str) -> list[dict]:
    body = json.dumps({"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}).encode()
    request = urllib.request.Request(f"{api}/flow_runs/filter", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def test_a_worse_candidate_does_not_replace_a_better_champion(released):
    released.change(gate={"metrics": {"auc": {"min": 0.5, "max_loss": 0.0}}}, features={"numeric": ["seats", "wet"]})
    with pytest.raises(Rejected) as caught:
        train("tiny")
    assert "champion" in caught.value.found


def test_new_data_make_a_new_version_of_the_model(released):
    taken = ingest("tiny")
    assert [batch.batch for batch in taken.batches] == ["b4"]
    assert "every batch" in str(ingest("tiny"))
    assert steps()["validate dataset"][0]
    outcome = train("tiny")
    assert outcome.release.version == "tiny-v2"
    old = train("tiny", revision=read_ledger("tiny")[0].facts["dataset"])
    assert old.release.version == "tiny-v1"


def test_a_damaged_result_is_made_again_not_served(released):
    outcome = train("tiny")  # remembered
    victim = store.locate(outcome.candidate.splits.train)
    victim.chmod(0o644)
    victim.write_bytes(b"not parquet")
    assert nothing_to_do("tiny") is None
    assert steps()["split dataset"] == (True, ("its result is gone or damaged",))
    again = train("tiny")
    assert again.release.version == "tiny-v1"
    assert store.intact(again.candidate.splits.train)
