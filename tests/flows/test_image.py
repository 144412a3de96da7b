"""`penstock image`: a release becomes an image, and the ledger says which."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tasks.data.project import recorded_project
from tasks.packaging.infra import require_exact
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged
from tests.loopback import free_port

BASE = f"python:{sys.version_info[0]}.{sys.version_info[1]}-slim"


def reason_to_skip() -> str:
    if not shutil.which("podman"):
        return "podman is not installed: no real image is built"
    there = subprocess.run(["podman", "image", "exists", BASE], capture_output=True, check=False)
    return "" if there.returncode == 0 else f"podman has no image {BASE} (podman pull {BASE}): no real image is built"


SKIP = reason_to_skip()


def test_the_ledger_says_what_was_built_once(released, tmp_path):
    """With a stand-in for podman that builds nothing: this is about the command and the ledger."""
    program = tmp_path / "bin" / "podman"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\nwhile [ $# -gt 0 ]; do [ "$1" = --iidfile ] && echo sha256:$(printf %064d 7) > "$2"; shift; done\n'
    )
    program.chmod(0o755)
    path = f"{program.parent}:/usr/bin:/bin"
    first = released.penstock("image", "tiny", "--json", PATH=path)
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert (found["version"], found["new"]) == ("tiny-v1", True)
    assert "--read-only" in found["command"] and found["command"].endswith("penstock/tiny:v1")
    again = released.penstock("image", "tiny", "tiny-v1", PATH=path)
    assert again.returncode == 0, again.stderr
    assert "sha256:" + "7".rjust(64, "0") in again.stdout
    events = [event for event in read_ledger("tiny") if event.kind == "containerized"]
    package = packaged("tiny").package
    assert [(event.version, event.facts["image"], event.facts["bento"]) for event in events] == [
        ("tiny-v1", found["image"]["id"], package.digest)
    ]
    assert "containerized" in released.penstock("history", "tiny").stdout
    nothing = released.penstock("image", "tiny", PATH=str(tmp_path))
    assert (nothing.returncode, "install podman" in nothing.stderr) == (7, True), nothing.stderr
    assert "Traceback" not in nothing.stderr


@pytest.mark.skipif(bool(SKIP), reason=SKIP)
@pytest.mark.timeout(900)  # it installs the serving environment inside the image
def test_a_real_image_answers_what_training_computed(released):
    """Read-only, without a capability, as a user that the image does not know."""
    tag = f"penstock-test/tiny:{time.time_ns()}"
    built = released.penstock("image", "tiny", "--backend", "podman", "--tag", tag, "--json")
    assert built.returncode == 0, built.stderr
    image = json.loads(built.stdout)["image"]
    try:
        package = packaged("tiny").package
        about = json.loads(podman("image", "inspect", image["id"]))[0]
        assert about["Config"]["User"] == "10001:10001"
        assert about["Labels"]["penstock.bento.digest"] == package.digest
        assert about["Digest"] == image["digest"]
        with running(image["id"]) as (name, address):
            candidate = packaged("tiny").candidate
            project = recorded_project(candidate.lineage.config)
            splits, features = candidate.splits, project.features
            rows = require_exact(f"{address}/v1/predict", candidate.evaluation, splits, features, project.package)
            assert len(rows) == 50
            with urllib.request.urlopen(f"{address}/livez") as answer:
                assert answer.status == 200
            health = json.loads(podman("inspect", "--format", "{{json .Config.Healthcheck}}", name))
            podman("exec", name, *health["Test"][1:])  # raises if it says that the server is not ready
            listed = json.loads(podman("exec", name, "cat", "/bento/src/sbom.cdx.json"))["components"]
            code = "from importlib.metadata import distributions as d; print(len(list(d())))"
            assert int(podman("exec", name, "/opt/serve/bin/python", "-c", code)) == len(listed)
            podman("stop", "--time", "35", name)  # then it would be killed, and exit with 137
            assert podman("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "0"
    finally:
        podman("rmi", "--force", image["id"])


@contextlib.contextmanager
def running(image: str) -> Iterator[tuple[str, str]]:
    port = free_port()
    options = [
        "--detach",
        "--read-only",
        "--tmpfs",
        "/tmp:rw,size=64m,mode=1777",
        "--user",
        "12345:12345",
        "--cap-drop",
        "all",
    ]
    options += ["--network", "host", "--env", f"PENSTOCK_LISTEN=127.0.0.1:{port}"]
    name = podman("run", *options, image).strip().splitlines()[-1]
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    break
            time.sleep(0.1)
        else:
            raise AssertionError(podman("logs", name))
        yield name, address
    finally:
        podman("rm", "--force", "--time", "5", name)


def podman(*words: str) -> str:
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
