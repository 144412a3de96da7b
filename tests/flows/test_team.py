"""Two working folders that share nothing but a bucket, Prefect and MLflow: one truth, whoever asks."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from penstock import ledger
from penstock.ledger import Event
from tests.conftest import TINY, Checkout
from tests.s3_server import BUCKET, CREDENTIALS


class Team:
    """Checkouts of one project; ``address`` is where their S3 is."""

    def __init__(self, folder: Path, environments: Path, template: Path, prefect_api: str, address: str) -> None:
        self.folder, self.environments = folder, environments
        shutil.copyfile(template / "mlflow" / "mlflow.db", folder / "mlflow.db")
        self.shared = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": address,
            "PENSTOCK_STORE": f"s3://{BUCKET}/{folder.name}/shared",
            "PENSTOCK_REMOTE": f"s3://{BUCKET}/{folder.name}/dvc",
            "PENSTOCK_MLFLOW_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "PREFECT_API_URL": prefect_api,
            "PENSTOCK_THREADS": "2",
            "PENSTOCK_PRODUCTION_PORT": "0",
            "PENSTOCK_STAGING_PORT": "0",
        }

    def member(self, name: str, of: Checkout | None = None) -> Checkout:
        """A new folder: of the tiny project, or a clone of somebody's."""
        root, home = self.folder / name, self.folder / name / ".penstock"
        if of is None:
            shutil.copytree(TINY, root, ignore=shutil.ignore_patterns("__pycache__"))
            subprocess.run(["git", "init", "--quiet", str(root)], check=True)
        else:
            subprocess.run(["git", "clone", "--quiet", str(of.root), str(root)], check=True)
        home.mkdir()
        (home / "environments").symlink_to(self.environments)
        return Checkout(root, home, self.shared | {"PENSTOCK_ROOT": str(root), "PENSTOCK_HOME": str(home)})


@pytest.fixture
def team(tmp_path, environments, template, prefect_api, network):
    members = Team(tmp_path, environments, template, prefect_api, network.url)
    yield members
    for supervisor in tmp_path.glob("*/.penstock/supervisor"):
        root = supervisor.parents[1]
        Checkout(root, root / ".penstock", members.shared | {"PENSTOCK_ROOT": str(root)}).penstock("down")


def done(process: subprocess.CompletedProcess[str]) -> str:
    """What it said, if it ended well."""
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


def events(checkout: Checkout) -> list[Event]:
    return [
        Event.model_validate(one) for one in json.loads(done(checkout.penstock("history", "tiny", "--json")))["events"]
    ]


def running(checkout: Checkout) -> list[str]:
    return [step["name"] for step in json.loads(done(checkout.penstock("plan", "tiny", "--json"))) if step["runs"]]


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
def test_one_trains_the_other_deploys_and_rolls_back(team, network):
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

    secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode()
    written = [path for home in (a.home, b.home) for path in home.rglob("*") if path.is_file()]
    assert not [path for path in written if "environments" not in path.parts and secret in path.read_bytes()]


@pytest.mark.timeout(600)
def test_a_train_outlives_a_store_that_goes_away(team, network):
    """Refused in the first steps, errors while the model is trained, silence before it is registered."""
    a = team.member("a")
    done(a.penstock("ingest", "tiny", "--until", "b3"))
    troubles = {"validate dataset": ("refused", 6), "train model": ("errors", 4), "package model": ("slow", 4)}
    with a.start("train", "tiny") as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            for step in [step for step in troubles if step in line]:
                network.away(*troubles.pop(step))
        assert process.wait() == 0, "".join(lines)
    assert not troubles
    assert network.troubled
    assert "does not answer" in "".join(lines)
    assert "answers again" in "".join(lines)
    assert [(event.sequence, event.kind) for event in events(a)] == [(1, "registered")]
    b = team.member("b")
    shutil.copytree(a.root / "data", b.root / "data", ignore=shutil.ignore_patterns("*.parquet"))
    assert running(b) == ["deploy"]


def test_a_store_that_stays_away_ends_in_words(team, network):
    a = team.member("a")
    network.become("refused")
    code = "from tasks import patience; patience._most.set(1.0); from flows.cli import main; main(['history', 'tiny'])"
    ended = a.python("-c", code)
    assert ended.returncode == 8
    assert "The shared store has not answered" in ended.stderr
    assert f"s3://{BUCKET}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "as this machine saw it last" in done(a.penstock("status", "tiny"))
