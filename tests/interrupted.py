"""A run of the tiny project that is left alone or interrupted, and what has to be whole after it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import REPOSITORY

# the steps of a run, in their order: what is killed in the drills is killed while, or just after, one of them
STEPS = [
    "ingest batch", "track dataset", "validate dataset", "split dataset", "train model", "evaluate model",
    "gate candidate", "package model", "check package", "register", "write report", "mirror to mlflow",
]  # fmt: skip


def start(live) -> subprocess.Popen[str]:
    environment = {**os.environ, **live.environment, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "flows.cli", "run", "tiny", "--json"]
    return subprocess.Popen(
        command, cwd=live.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def assert_whole(live) -> None:
    """A rerun ends well, and nothing in the store or the ledger is half-written."""
    from penstock.ledger import releases
    from tasks.registry.registry import find_release, read_ledger, recorded_candidate
    from tasks.store import store
    from tasks.store.caching import file_refs

    again = live.penstock("run", "tiny")
    assert again.returncode == 0, again.stderr
    assert [event.version for event in releases(read_ledger("tiny"))] == ["tiny-v1"]
    candidate = recorded_candidate.fn(find_release("tiny"))
    assert all(store.intact(ref) for ref in file_refs(candidate))
    for path in (live.home / "store").glob("[0-9a-f][0-9a-f]/*"):
        assert store.digest(path) == path.stem
    settled = live.penstock("run", "tiny")
    assert "Nothing has changed since tiny-v1" in settled.stdout
