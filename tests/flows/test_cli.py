"""The command line as a person or a script meets it: in a new process each time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_whole_story(live):
    """run, run again, plan, status, report, serve: what a newcomer types."""
    first = live.penstock("run", "tiny", "--json")
    assert first.returncode == 0, first.stderr
    facts = json.loads(first.stdout)
    assert (facts["version"], facts["verdict"], facts["changed"]) == ("tiny-v1", "blessed", True)
    assert Path(facts["report"]).is_file()
    for step in ("ingest batch", "validate dataset", "train model", "check package", "register"):
        assert f"✓ {step}" in first.stderr
    assert "50 predictions exact, bad request got 422" in first.stderr

    again = live.penstock("run", "tiny")
    assert again.returncode == 0
    assert again.stdout.strip().startswith("Nothing has changed since tiny-v1 (blessed)")
    assert again.stderr == ""

    live.change(train={"rounds": 31})
    steps = {step["name"]: step for step in json.loads(live.penstock("plan", "tiny", "--json").stdout)}
    assert steps["train model"]["reasons"] == ["config: train.rounds changed (30 -> 31)"]
    assert not steps["split dataset"]["runs"]
    live.change(train={"rounds": 30})

    status = live.penstock("status", "tiny").stdout
    assert "tiny: tiny-v1" in status
    assert json.loads(live.penstock("status", "--json").stdout)["projects"][0]["serving"] == "tiny-v1"
    assert live.penstock("report", "tiny").stdout.strip().endswith("latest.html")
    assert live.penstock("report", "tiny", "tiny-v1").stdout.strip().endswith("tiny-v1.html")
    missing = live.penstock("report", "tiny", "tiny-v7")
    assert (missing.returncode, "tiny-v1" in missing.stderr) == (4, True)
    served(live)


def served(live) -> None:
    """`serve` prints a curl command; its row gets an answer; Ctrl-C ends it at once and quietly."""
    environment = {**os.environ, **live.environment, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "flows.cli", "serve", "tiny", "--port", "0", "--json"]
    run = subprocess.Popen(
        command, cwd=live.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        lines = []
        while not lines or (lines[-1] and lines[-1] != "}\n"):
            lines.append(run.stdout.readline())
        facts = json.loads("".join(lines))
        row = facts["curl"].partition("-d '")[2].removesuffix("'")
        request = urllib.request.Request(
            f"{facts['address']}/v1/predict", row.encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert 0 < json.loads(answer.read())["probabilities"][0] < 1
        run.send_signal(signal.SIGINT)
        assert run.wait(PATIENCE) == 130
        assert "Interrupted" in run.stderr.read()
    finally:
        run.kill()
        run.communicate()


def test_a_rejected_candidate_exits_with_3_and_says_why(live):
    live.change(gate={"metrics": {"auc": {"min": 0.99}}})
    said = live.penstock("run", "tiny")
    assert said.returncode == 3
    assert "tiny: REJECTED" in said.stdout
    assert "must be at least 0.99" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "tiyn"], 2, "did you mean `tiny`"),
        (["plan", "nowhere/x.yaml"], 2, "There is no project"),
        (["runn", "tiny"], 2, "No such command"),
        (["train", "tiny"], 4, "penstock run tiny"),
        (["report", "tiny"], 4, "penstock run tiny"),
        (["serve", "tiny"], 4, "no release yet"),
        (["ingest", "tiny", "--until", "b77"], 2, "b1 .. b4"),
    ],
)
def test_mistakes_get_one_message_and_the_next_step(live, arguments, code, said):
    found = live.penstock(*arguments)
    assert (found.returncode, said in found.stderr) == (code, True), found.stderr
    assert "Traceback" not in found.stderr
    assert len(found.stderr.splitlines()) < 15


def test_outside_of_a_checkout(tmp_path):
    command = [sys.executable, "-m", "flows.cli", "status"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "not a Penstock checkout" in found.stderr


def test_help_and_schema_and_plan_import_no_heavy_library(checkout):
    """`plan` has to answer at once: no Prefect, DVC, polars, XGBoost, pandera, MLflow or BentoML."""
    code = (
        "import sys; from flows.plan import plan_run; plan_run('tiny')\n"
        "heavy = {'prefect', 'dvc', 'polars', 'xgboost', 'pandera', 'mlflow', 'bentoml', 'whylogs'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    source = (checkout.root / "tiny_source.py").read_text()
    lazy = source.replace("import numpy as np\nimport polars as pl\n", "")
    (checkout.root / "tiny_source.py").write_text(lazy)
    environment = {**os.environ, **checkout.environment, "PYTHONPATH": str(REPOSITORY)}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout.root, env=environment, capture_output=True, text=True
    )
    assert found.stdout == "[]\n", found.stderr
    assert "run" in checkout.penstock("--help").stdout
    assert json.loads(checkout.penstock("schema").stdout)["title"] == "Penstock project"
