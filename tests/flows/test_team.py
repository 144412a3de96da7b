"""What becomes of a team's commands when the bucket they share goes away."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from tests.team import Team, done, events, running

EACH = ["s3", *(pytest.param(kind, marks=pytest.mark.drill) for kind in ("gcs", "azure"))]


@pytest.fixture
def team(tmp_path, environments, template, prefect_api, cloud, cloud_network):
    shutil.copyfile(template / "mlflow" / "mlflow.db", tmp_path / "mlflow.db")
    behind = replace(cloud, port=cloud_network.port)
    members = Team(tmp_path, environments, prefect_api, f"sqlite:///{tmp_path / 'mlflow.db'}", behind)
    yield members
    members.down()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cloud", EACH, indirect=True)
def test_a_train_outlives_a_store_that_goes_away(team, cloud_network):
    """Refused in the first steps, errors while the model is trained, silence before it is registered."""
    a = team.member("a")
    done(a.penstock("ingest", "tiny", "--until", "b3"))
    troubles = {"validate dataset": ("refused", 6), "train model": ("errors", 4), "package model": ("slow", 4)}
    with a.start("train", "tiny") as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            for step in [step for step in troubles if step in line]:
                cloud_network.away(*troubles.pop(step))
        assert process.wait() == 0, "".join(lines)
    assert not troubles
    assert cloud_network.troubled
    assert "does not answer" in "".join(lines)
    assert "answers again" in "".join(lines)
    assert [(event.sequence, event.kind) for event in events(a)] == [(1, "registered")]
    b = team.member("b")
    shutil.copytree(a.root / "data", b.root / "data", ignore=shutil.ignore_patterns("*.parquet"))
    assert running(b) == ["deploy"]


def test_a_store_that_stays_away_ends_in_words(team, cloud, cloud_network):
    a = team.member("a")
    cloud_network.become("refused")
    code = (
        "from flows.cli import main; from tasks.store.patience import _most; _most.set(1.0); main(['history', 'tiny'])"
    )
    ended = a.python("-c", code)
    assert ended.returncode == 8
    assert "The shared store has not answered" in ended.stderr
    assert cloud.url("") in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "as this machine saw it last" in done(a.penstock("status", "tiny"))
