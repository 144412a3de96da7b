"""The repository's own deployments, on a real server and worker: what is scheduled or triggered really trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tasks.registry.registry import read_ledger
from tests.receiver import receiver
from tests.waiting import PATIENCE, until

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def told():
    """(a webhook's address, what was posted there)."""
    with receiver() as found:
        yield found


@pytest.fixture
def deployed(checkout, told):
    """The tiny project under the repository's prefect.yaml, its server and worker up."""
    (checkout.root / "flows").symlink_to(REPOSITORY / "flows")
    text = (REPOSITORY / "prefect.yaml").read_text().replace("flights", "tiny")
    (checkout.root / "prefect.yaml").write_text(text)
    try:
        checkout.change(alerts={"ops": ["all"]})
        up = checkout.penstock("up", PENSTOCK_ALERT_OPS=told[0])
        assert up.returncode == 0, up.stderr
        yield checkout
    finally:
        checkout.penstock("down")


def shell(checkout, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in a fresh shell in the checkout: nothing exported, nothing on the path but the environment's own."""
    bare = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    bare |= {"PYTHONPATH": str(REPOSITORY), "PWD": str(checkout.root)}
    return subprocess.run(
        command, cwd=checkout.root, env=bare, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )


def prefect(checkout, *arguments: str) -> subprocess.CompletedProcess[str]:
    return shell(checkout, sys.executable, "-m", "prefect", *arguments)


def states(checkout, flow: str) -> list[tuple[str, str]]:
    port = json.loads((checkout.home / "prefect" / "server.json").read_text())["port"]
    body = json.dumps({"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_DESC"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/flow_runs/filter", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return [(found["state"]["type"], found["state"]["name"]) for found in json.loads(answer.read())]


def kinds() -> list[str]:
    return [event.kind for event in read_ledger("tiny")]


def test_deployments_ingest_train_and_refuse_for_real(deployed, told):
    for flow in ("ingest", "train"):
        until(lambda flow=flow: ("SCHEDULED", "Scheduled") in states(deployed, flow), f"no scheduled run of {flow}")

    ingest = prefect(deployed, "deployment", "run", "ingest/tiny", "--watch", "-p", "until=b3")
    assert ingest.returncode == 0, ingest.stdout + ingest.stderr
    train = prefect(deployed, "deployment", "run", "train/tiny", "--watch")
    assert train.returncode == 0, train.stdout + train.stderr
    # the event of the blessed release starts `deploy/tiny` on the worker
    until(lambda: kinds()[-1] == "healthy", lambda: f"the trigger deployed nothing: {kinds()}")
    assert kinds() == ["registered", "staged", "promoted", "healthy"]
    rollback = prefect(deployed, "deployment", "run", "rollback/tiny", "--watch")
    assert (rollback.returncode, read_ledger("tiny")[-1].kind) == (1, "healthy")  # there is nothing to go back to

    output = deployed.root / "scores.csv"
    score = prefect(
        deployed, "deployment", "run", "score/tiny", "--watch", "-p", "source=data", "-p", f"output={output}"
    )
    assert score.returncode == 0, score.stdout + score.stderr
    assert output.read_text().startswith("request_id,row,model,probability,prediction\n")

    again = shell(
        deployed,
        sys.executable,
        "-c",
        "from flows.train import train; print(train('configs/tiny.yaml').release.version)",
    )
    assert again.stdout.strip() == "tiny-v1", again.stderr

    deployed.change(gate={"metrics": {"auc": {"min": 0.99}}})
    refused = prefect(deployed, "deployment", "run", "train/tiny", "--watch")
    assert refused.returncode == 1
    assert "Rejected" in refused.stdout
    assert ("FAILED", "Rejected") in states(deployed, "train")
    rejected = read_ledger("tiny")[-1]
    assert rejected.kind == "rejected"

    # the rollback that had nowhere to go, and the candidate that its gates refused
    # (Prefect promises to send a message at least once: on a slow machine it may come twice)
    until(lambda: any(each["event"] == "penstock.candidate.rejected" for each in told[1]), "no alert came")
    got = list({each["text"]: each for each in told[1]}.values())
    assert [each["event"] for each in got] == ["prefect.flow-run.Failed", "penstock.candidate.rejected"], got
    first, second = (each["text"].partition("\n\n") for each in got)
    assert first[0] == "tiny: rollback failed"
    assert "There is no release that `tiny` could go back to" in first[2]
    assert second[0] == "tiny: a candidate was rejected by its gates"
    assert second[2].startswith(f"{rejected.reason}\n\nnext: penstock report tiny\nnext: penstock status tiny\n")
    assert "/runs/flow-run/" in second[2].splitlines()[-1]
