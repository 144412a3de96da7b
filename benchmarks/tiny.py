"""The tests' tiny project as a checkout of its own, with releases to roll out: for drills, in benchmarks and tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
TINY = REPOSITORY / "tests" / "tiny"
# a whole rollout in about four seconds; the limits are the defaults
QUICK = {
    "traffic": "replay",
    "replay_rate": 300,
    "replay_requests": 100,
    "shadow_seconds": 0.5,
    "steps": [50],
    "step_seconds": 0.5,
    "bake_seconds": 0.5,
    "min_requests": 30,
    "max_wait_seconds": 15,
}
TRAIN = """
import yaml
from pathlib import Path
from flows.ingest import ingest
from flows.train import train
ingest.fn("tiny", until="b3")
path = Path("configs/tiny.yaml")
for depth in (3, 4):
    tree = yaml.safe_load(path.read_text())
    tree["train"]["params"]["max_depth"] = depth
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    train.fn("tiny")
"""
DEPLOY = "import sys; from flows.deploy import deploy; print(deploy.fn('tiny', sys.argv[1]))"  # without Prefect


@dataclass(frozen=True)
class Tiny:
    """A checkout of the tiny project."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / ".penstock"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PENSTOCK_ROOT": str(self.root),
            "PENSTOCK_HOME": str(self.home),
            "PENSTOCK_PRODUCTION_PORT": "0",
            "PENSTOCK_STAGING_PORT": "0",
            "PENSTOCK_THREADS": "2",
            "PYTHONPATH": str(REPOSITORY),
        }

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A Python process in the checkout, with a process group of its own."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def python(self, *arguments: str, **environment: str) -> str:
        """What it said. Raises RuntimeError if it did not end well."""
        process = self.start(*arguments, **environment)
        said, _ = process.communicate(timeout=300)
        if process.returncode:
            raise RuntimeError(said[-3000:])
        return said

    def penstock(self, *arguments: str, **environment: str) -> str:
        return self.python("-m", "flows.cli", *arguments, **environment)

    def deploy(self, version: str) -> subprocess.Popen[str]:
        """A deploy that goes on, in a process of its own."""
        return self.start("-c", DEPLOY, version)

    def change(self, **rollout: object) -> None:
        """Of the section `rollout`."""
        path = self.root / "configs" / "tiny.yaml"
        tree = yaml.safe_load(path.read_text())
        tree["rollout"] = {**QUICK, **rollout}
        path.write_text(yaml.safe_dump(tree, sort_keys=False))

    def copy(self, root: Path) -> Tiny:
        """The same with its releases, and nothing that runs."""
        shutil.copytree(self.root, root, symlinks=True)
        return Tiny(root)


def trained(root: Path, environments: Path) -> Tiny:
    """A checkout with tiny-v1 and tiny-v2, neither deployed. ``environments``: where serving environments are kept."""
    shutil.copytree(TINY, root, ignore=shutil.ignore_patterns("__pycache__"))
    tiny = Tiny(root)
    tiny.home.mkdir()
    (tiny.home / "environments").symlink_to(environments)
    tiny.change()
    tiny.python("-c", TRAIN)
    return tiny


@contextlib.contextmanager
def within(tiny: Tiny) -> Iterator[Tiny]:
    """This process's settings point to the checkout; what runs there is stopped at the end."""
    from tasks.machine.settings import settings
    from tasks.platform import platform

    before, path = {name: os.environ.get(name) for name in tiny.environment}, list(sys.path)
    os.environ.update(tiny.environment)
    settings.cache_clear()
    try:
        with contextlib.chdir(tiny.root):
            try:
                yield tiny
            finally:
                platform.down()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        sys.path[:] = path
        sys.modules.pop("tiny_source", None)
        settings.cache_clear()


def bodies(most: int = 200) -> list[bytes]:
    """Rows of the test split, each as a request."""
    from tasks.data.project import load_project
    from tasks.registry.releases import packaged
    from tasks.rollout import traffic

    return traffic.held_out(packaged("tiny").candidate, load_project("tiny").features, most)


def serves(version: str, *, warm: str = "") -> None:
    """As if nothing had ever happened but ``version`` taking over (from ``warm``, whose servers still run)."""
    from penstock.desired import Route, with_route
    from tasks.data.project import load_project
    from tasks.machine.settings import settings
    from tasks.registry.releases import packaged, server_of, tell
    from tasks.rollout.rollout import deploying
    from tasks.serving import release_server, serving

    serve = load_project("tiny").serve
    route = Route(champion=version, serve=serve)
    with deploying("tiny"):  # the warden waits
        with serving.kept(version), serving.kept(warm or version):
            for each in filter(None, (warm, version)):
                serving.start(server_of(packaged("tiny", each), serve))
                assert release_server.becomes_ready(each), each
            for place in ("production", "staging"):
                serving.change(lambda desired, place=place: with_route(desired, place, "tiny", route))
        serving.retire("tiny", keep=warm)
        for path in (settings().ledger / "tiny").glob("*.json"):
            if '"registered"' not in path.read_text():
                path.unlink()
        for each in filter(None, (warm, version)):
            tell("tiny", "promoted", each, "the drill begins")
            tell("tiny", "healthy", each, "the drill begins")
