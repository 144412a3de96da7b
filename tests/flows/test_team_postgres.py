"""Two working folders share nothing but a bucket, and Prefect and MLflow on PostgreSQL: one truth, whoever asks."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from penstock import ledger
from tests.conftest import Checkout
from tests.postgres import PASSWORD
from tests.s3_server import CREDENTIALS
from tests.team import Team, done, events, running
from tests.team_servers import needs_postgres, team_servers

pytestmark = needs_postgres


@pytest.fixture(scope="module")
def servers(tmp_path_factory, s3_port):
    with team_servers(tmp_path_factory.mktemp("servers"), s3_port) as found:
        yield found


@pytest.fixture
def team(tmp_path, environments, servers, network):
    members = Team(tmp_path, environments, f"{servers.prefect}/api", servers.mlflow, network.url)
    yield members
    if not servers.database.running:
        servers.database.start()
    members.down()


TRAIN = """
import yaml
from pathlib import Path
from flows.ingest import ingest
from flows.train import train
ingest("tiny", until="b3")
path = Path("configs/tiny.yaml")
for depth in (3, 4):
    tree = yaml.safe_load(path.read_text())
    tree["train"]["params"]["max_depth"] = depth
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    train("tiny")
"""
DEPLOY = "from flows.deploy import deploy; deploy('tiny', 'tiny-v1'); deploy('tiny', 'tiny-v2')"


@pytest.mark.timeout(600)  # a dozen commands, of which some start servers
def test_one_trains_the_other_deploys_and_rolls_back(team, network, servers):
    a = team.member("a")
    done(a.python("-c", TRAIN))
    a.git("add", "configs", "data", ".dvc/config", "prefect.yaml", "tiny_source.py")
    a.git("commit", "-qm", "data")

    b = team.member("b", of=a)
    assert not (b.home / "cache").exists() and not (b.home / "store").exists()
    assert running(b) == ["deploy"]
    b.change(train={"rounds": 29})  # what comes before the model, somebody has computed
    assert {"validate dataset", "split dataset"}.isdisjoint(running(b))
    assert "train model" in running(b)
    assert Path(done(b.penstock("report", "tiny", "tiny-v1")).strip()).is_file()
    done(b.python("-c", DEPLOY))

    network.become("refused")
    assert "told when it answers" in done(b.penstock("rollback", "tiny", "--reason", "wrong"))
    network.become("fine")
    end = time.monotonic() + 90
    while (seen := events(a))[-1].kind != "quarantined":  # b's warden makes up for it
        assert time.monotonic() < end
        time.sleep(0.5)

    assert seen == events(b)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert [tenure.version for tenure in ledger.tenures(seen)] == ["tiny-v1", "tiny-v2", "tiny-v1"]
    assert {event.host.rpartition(":")[2] for event in seen if event.kind == "registered"} == {str(a.home)}
    assert {event.host.rpartition(":")[2] for event in seen if event.kind == "promoted"} == {str(b.home)}
    status = done(a.penstock("status", "tiny"))
    assert f"tiny-v1 serves on {seen[-1].host} since" in status
    assert "in quarantine: tiny-v2, wrong" in status

    for member in (a, b):
        assert not telling(member, CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
    assert servers.runs() == [("tiny-v1", "FINISHED"), ("tiny-v2", "FINISHED")]


@pytest.mark.timeout(600)
def test_a_restart_of_the_database_in_the_middle_of_a_train(team, servers):
    """Nothing lost, nothing doubled, and the user is told."""
    a, runs = team.member("a"), len(servers.runs())
    done(a.penstock("ingest", "tiny", "--until", "b3"))
    with a.start("train", "tiny") as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "train model" in line:
                servers.database.stop()
            elif "its database does not answer" in line:
                servers.database.start()
        assert process.wait() == 0, "".join(lines)
    said = "".join(lines)
    assert said.index("does not answer") < said.index("answers again") < said.index("mirror to mlflow")
    assert "Error" not in said
    done(a.penstock("train", "tiny"))
    assert [(event.sequence, event.kind) for event in events(a)] == [(1, "registered")]
    assert servers.runs()[runs:] == [("tiny-v1", "FINISHED")]
    assert servers.database.run("SELECT DISTINCT state_name FROM flow_run", "prefect") == [("Completed",)]
    b = team.member("b")
    shutil.copytree(a.root / "data", b.root / "data", ignore=shutil.ignore_patterns("*.parquet"))
    assert running(b) == ["deploy"]


@pytest.mark.timeout(600)
def test_a_database_that_stays_away_ends_in_words_and_no_password_is_told(team, servers):
    """MLflow's database named by its own URL, as somebody without a server of MLflow would."""
    servers.database.run("CREATE DATABASE alone")
    team.shared["PENSTOCK_MLFLOW_URI"] = servers.database.url("alone")
    team.shared["PREFECT_CLIENT_MAX_RETRIES"] = "1"
    a, said = team.member("a"), []
    done(a.penstock("ingest", "tiny", "--until", "b3"))
    with a.start("train", "tiny") as process:
        for line in process.stderr:
            said.append(line)
            if "register " in line:
                servers.database.stop()
        assert process.wait() == 7, "".join(said)
    assert "The Prefect server, or its database, stopped answering." in "".join(said)
    for command in (["status", "tiny"], ["doctor"], ["report", "tiny", "tiny-v1"]):
        ended = a.penstock(*command)
        said += [ended.stdout, ended.stderr]
    assert "Traceback" not in "".join(said)
    servers.database.start()
    again = a.penstock("train", "tiny")
    said += [done(again), again.stderr, a.penstock("doctor").stdout]
    assert [(event.sequence, event.kind) for event in events(a)] == [(1, "registered")]
    assert servers.runs("alone") == [("tiny-v1", "FINISHED")]
    for form in (PASSWORD, quote(PASSWORD, safe="")):
        assert form not in "".join(said)
        assert not telling(a, form)
        assert form not in servers.log("prefect") + servers.log("mlflow")


def telling(member: Checkout, secret: str) -> list[Path]:
    """The files of a working folder that hold this secret."""
    written = [path for path in member.root.rglob("*") if path.is_file() and "environments" not in path.parts]
    return [path for path in written if secret.encode() in path.read_bytes()]
