"""One release of the tiny project for all tests of the service, and servers of it, started as in production."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import new_checkout
from tests.trained import Client, Trained
from tests.waiting import PATIENCE, until

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class Release:
    """An unpacked Bento and the Python of its serving environment. ``row``: one that it answers."""

    bento: Path
    python: Path
    row: dict[str, Any]

    @property
    def about(self) -> dict[str, Any]:
        return json.loads(next(self.bento.glob("models/*/*/about.json")).read_text())

    @property
    def tag(self) -> str:
        return self.about["bento"]


class Running:
    """A server process, and ways to ask it."""

    def __init__(self, process: subprocess.Popen[bytes], listener: socket.socket, state: Path) -> None:
        self.process, self.listener, self.state = process, listener, state
        self.client = Client(listener)

    @property
    def log(self) -> str:
        return (self.state / "server.log").read_text()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, Any]:
        return self.client(method, path, body, **headers)

    def predict(self, content: Any, route: str = "predict", **headers: str) -> tuple[int, Any]:
        """(status, answer) of rows, or of bytes as they are."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        status, answer, _ = self.call("POST", f"/v1/{route}", body, **{"content-type": JSON, **headers})
        return status, json.loads(answer)

    def metric(self, name: str) -> float:
        lines = self.call("GET", "/metrics")[1].decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def serving(
    release: Release, state: Path, listener: socket.socket | None = None, wait: bool = True, **variables: str
) -> Iterator[Running]:
    """A server of ``release`` with PENSTOCK_ variables in its environment. Its log is ``state``/server.log."""
    state.mkdir(parents=True, exist_ok=True)
    metrics = Path(variables.pop("metrics", state / "metrics"))
    metrics.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(state),
        "BENTOML_HOME": str(state / "bentoml"),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "BENTOML_DO_NOT_TRACK": "true",
        "OMP_WAIT_POLICY": "PASSIVE",
        **variables,
    }
    with contextlib.ExitStack() as stack:
        if listener is None:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        log = stack.enter_context((state / "server.log").open("wb"))
        command = [str(release.python), "-I", str(release.bento / "src" / "bentos" / "launch.py"), str(release.bento)]
        process = subprocess.Popen(command, stdin=listener.fileno(), stdout=log, stderr=log, cwd=state, env=environment)
        running = Running(process, listener, state)
        try:
            if wait:
                wait_ready(running)
            yield running
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()


def wait_ready(running: Running) -> None:
    def ready() -> bool:
        assert running.process.poll() is None, running.log
        with contextlib.suppress(OSError):
            return running.call("GET", "/readyz")[0] == 200
        return False

    until(ready, lambda: f"not ready: {running.log}")


@pytest.fixture(scope="session")
def release(once, environments, template) -> Release:
    return packaged_tiny(once, environments, template)[0]


def packaged_tiny(once: Any, environments: Path, template: Path, task: str = "") -> tuple[Release, dict[str, Any]]:
    """(a release of the tiny project, or of its variant of another ``task``; its metrics). The package is checked."""
    folder = once(f"release-{task}", lambda folder: _make_release(folder, environments, template, task))
    made = json.loads((folder / "made.json").read_text())
    return Release(Path(made["bento"]), Path(made["python"]), made["row"]), made["metrics"]


def _make_release(folder: Path, environments: Path, template: Path, task: str) -> None:
    from tasks.packaging.model_server import unpacked
    from tasks.packaging.serving_env import serving_python
    from tasks.store import store
    from tasks.training.samples import example_row

    with pytest.MonkeyPatch.context() as patch, new_checkout(folder, environments, template, patch) as checkout:
        if task:
            checkout.task(task)
        trained = Trained(patch)
        package = trained.package()
        if task:
            assert trained.check(package).max_difference == 0
        bento = unpacked(package)
        made = {
            "bento": str(bento),
            "python": str(serving_python(bento / "src" / "requirements.txt")),
            "row": example_row(trained.splits, trained.project.features),
            "metrics": store.read_json(trained.evaluation.metrics),
        }
    (folder / "made.json").write_text(json.dumps(made))


@pytest.fixture(scope="session")
def server(release, tmp_path_factory) -> Iterator[Running]:
    """One server for all tests that only ask. Its log is looked at when it has ended."""
    with serving(release, tmp_path_factory.mktemp("server")) as running:
        yield running
    assert "Traceback" not in running.log


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="pen-") as folder:
        yield Path(folder)
