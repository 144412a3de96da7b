"""A checkout with a Prefect server of its own, asked from outside, as commands would."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import yaml

from tests.conftest import REPOSITORY
from tests.loopback import Quiet
from tests.waiting import PATIENCE

FLOW = """
import sys
from pathlib import Path
from prefect import flow

@flow
def hello(name: str = "nobody"):
    Path("said.txt").write_text(f"{name} {Path.cwd()}")
"""


DEPLOYMENT = {
    "name": "tiny",
    "entrypoint": "hello.py:hello",
    "parameters": {"name": "world"},
    "work_pool": {"name": "penstock"},
    "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ $PWD }}"}}],
    "schedules": [{"cron": "0 * * * *", "timezone": "Europe/Berlin", "slug": "hourly"}],
}


class Place:
    """A checkout whose own server runs; everything is asked in new processes, as commands would."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / ".penstock"
        self.environment = {**os.environ, "PENSTOCK_ROOT": str(root), "PENSTOCK_HOME": str(self.home)}
        self.environment["PYTHONPATH"] = str(REPOSITORY)
        self.deploy(DEPLOYMENT)
        (root / "hello.py").write_text(FLOW)

    def deploy(self, *deployments: dict) -> None:
        (self.root / "prefect.yaml").write_text(yaml.safe_dump({"name": "tiny", "deployments": list(deployments)}))

    def start(self, code: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", f"from tasks.platform import platform\n{code}"]
        return subprocess.Popen(
            command, cwd=self.root, env={**self.environment, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ask(self, code: str, **environment: str) -> str:
        process = self.start(code, **environment)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        return out.strip()

    def api(self, path: str, body: dict | None = None):
        url = json.loads((self.home / "prefect" / "server.json").read_text())["port"]
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{url}/api{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def pid(self, service: str) -> int:
        found = json.loads(self.ask("print(platform.status().model_dump_json())"))["services"]
        return next(each["pid"] for each in found if each["name"] == service)


def stranger(port: int) -> socketserver.TCPServer:
    """Another program on the port that says "200 OK" to whatever it is asked."""

    class Answer(Quiet):
        def do_GET(self) -> None:
            self.answer()

    end = time.monotonic() + PATIENCE
    while True:
        try:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
            break
        except OSError:
            assert time.monotonic() < end, "the port did not become free"
            time.sleep(0.002)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def supervisord(place: Place) -> psutil.Process:
    return psutil.Process(psutil.Process(place.pid("prefect-server")).ppid())
