"""Working folders of one project that share nothing but what a network reaches."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from penstock.ledger import Event
from tests.conftest import TINY, Checkout
from tests.s3_server import BUCKET, CREDENTIALS


class Team:
    """Checkouts of one project. ``prefect``, ``mlflow``, ``s3``: where their servers are."""

    def __init__(self, folder: Path, environments: Path, prefect: str, mlflow: str, s3: str) -> None:
        self.folder, self.environments = folder, environments
        self.shared = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": s3,
            "PENSTOCK_STORE": f"s3://{BUCKET}/{folder.name}/shared",
            "PENSTOCK_REMOTE": f"s3://{BUCKET}/{folder.name}/dvc",
            "PENSTOCK_MLFLOW_URI": mlflow,
            "PREFECT_API_URL": prefect,
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

    def down(self) -> None:
        """Stop what was started in any of them."""
        for supervisor in self.folder.glob("*/.penstock/supervisor"):
            root = supervisor.parents[1]
            Checkout(root, root / ".penstock", self.shared | {"PENSTOCK_ROOT": str(root)}).penstock("down")


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
