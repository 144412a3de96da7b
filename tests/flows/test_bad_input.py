"""What a bad day gets: a clear message and the next command, nothing half-written, and a rerun that goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).resolve().parents[2]
# the steps of a run, in their order: what is killed in the drills is killed while, or just after, one of them
STEPS = [
    "ingest batch", "track dataset", "validate dataset", "split dataset", "train model", "evaluate model",
    "gate candidate", "package model", "check package", "register", "write report", "mirror to mlflow",
]  # fmt: skip


def one_round(values: list) -> list:
    """All of them for `-m drill`; by default one, chosen by the day's seed."""
    chosen = random.Random(20261121).choice(values)
    return [value if value == chosen else pytest.param(value, marks=pytest.mark.drill) for value in values]


def start(live) -> subprocess.Popen[str]:
    environment = {**os.environ, **live.environment, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "flows.cli", "run", "tiny", "--json"]
    return subprocess.Popen(
        command, cwd=live.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(process: subprocess.Popen[str], step: str) -> list[str]:
    """Read the run's lines up to the end of ``step``."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if step in line:
            return lines
    raise AssertionError(f"the run ended before `{step}`: {''.join(lines)}")


def assert_whole(live) -> None:
    """A rerun ends well, and nothing in the store or the ledger is half-written."""
    from penstock.ledger import releases
    from tasks import store
    from tasks.caching import file_refs
    from tasks.registry import find_release, read_ledger, recorded_candidate

    again = live.penstock("run", "tiny")
    assert again.returncode == 0, again.stderr
    assert [event.version for event in releases(read_ledger("tiny"))] == ["tiny-v1"]
    candidate = recorded_candidate.fn(find_release("tiny"))
    assert all(store.intact(ref) for ref in file_refs(candidate))
    for path in (live.home / "store").glob("[0-9a-f][0-9a-f]/*"):
        assert store.digest(path) == path.stem
    settled = live.penstock("run", "tiny")
    assert "Nothing has changed since tiny-v1" in settled.stdout


@pytest.mark.parametrize("step", one_round(STEPS[:-1]))
def test_kill_9_after_any_step_loses_nothing_that_was_finished(live, step):
    process = start(live)
    until(process, step)
    time.sleep(random.Random(step).uniform(0, 0.4))  # into the step after it
    process.kill()
    process.wait()
    rerun = live.penstock("run", "tiny")
    assert rerun.returncode == 0, rerun.stderr
    if STEPS.index(step) >= STEPS.index("evaluate model"):
        assert "✓ train model" not in rerun.stderr
    assert_whole(live)


@pytest.mark.parametrize("step", one_round(STEPS[:-2]))
def test_ctrl_c_after_any_step_says_what_to_do(live, step):
    process = start(live)
    until(process, step)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "run the command again" in rest
    assert "Traceback" not in rest
    assert_whole(live)


def test_two_runs_at_once_make_one_release(live):
    first, second = start(live), start(live)
    said = [process.communicate(timeout=2 * PATIENCE)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert sum("✓ train model" in text for text in said) == 1
    assert_whole(live)


def test_a_misspelt_key_is_found_before_anything_runs(live):
    live.change(train={"max_dept": 3})
    said = live.penstock("run", "tiny")
    assert said.returncode == 2
    assert "configs/tiny.yaml:" in said.stderr
    assert "train.max_dept" in said.stderr
    assert not (live.root / "data" / "tiny").exists()


def test_a_parameter_that_xgboost_does_not_know(live):
    live.change(train={"params": {"max_dept": 3}})
    said = live.penstock("run", "tiny")
    assert said.returncode == 5, said.stderr
    assert "did you mean `max_depth`" in said.stderr
    assert "Traceback" not in said.stderr


def test_an_unreachable_remote_and_then_a_reachable_one(live):
    said = live.penstock("run", "tiny", PENSTOCK_REMOTE="/proc/nowhere/remote")
    assert said.returncode == 4
    assert "PENSTOCK_REMOTE" in said.stderr
    assert "Traceback" not in said.stderr
    assert_whole(live)


def test_a_damaged_object_in_the_remote(live):
    import shutil

    assert live.penstock("ingest", "tiny").returncode == 0
    for path in (live.home / "remote").rglob("*"):
        if path.is_file() and path.suffix != ".dir":
            path.chmod(0o644)
            path.write_bytes(b"x" * path.stat().st_size)
    shutil.rmtree(live.root / ".dvc" / "cache")
    said = live.penstock("train", "tiny")
    assert said.returncode == 4
    assert "damaged" in said.stderr
    assert "dvc push" in said.stderr


def test_a_constant_label(live):
    live.source(**{f"b{number}": {"label": False} for number in (1, 2, 3)})
    said = live.penstock("run", "tiny")
    assert said.returncode == 4
    assert "nothing to learn" in said.stderr


def test_a_split_that_leaves_no_positives(live):
    live.source(b3={"label": False})
    live.change(split={"test": 0.3})
    said = live.penstock("run", "tiny")
    assert said.returncode == 4
    assert "test split has rows of one class only" in said.stderr


def test_an_empty_and_a_spoiled_batch_keep_those_before_them(live):
    live.source(b3={"empty": True})
    said = live.penstock("run", "tiny")
    assert said.returncode == 4
    assert "tiny, batch b3" in said.stderr
    live.source()
    again = live.penstock("run", "tiny")
    assert again.returncode == 0
    assert again.stderr.count("✓ ingest batch") == 1


def test_a_home_that_cannot_be_written(live):
    said = live.penstock("run", "tiny", PENSTOCK_HOME="/proc/penstock")
    assert said.returncode == 8, said.stderr
    assert "PENSTOCK_HOME" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_full_disk_while_training(live):
    """A file that may not grow is what a full disk is to whoever writes it."""
    said = subprocess.run(
        ["bash", "-c", f"ulimit -f 24; exec {sys.executable} -m flows.cli run tiny"],
        cwd=live.root,
        env={**os.environ, **live.environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode != 0
    assert "Traceback" not in said.stderr, said.stderr
    assert_whole(live)


def test_a_prefect_server_that_is_not_there(live):
    said = live.penstock("run", "tiny", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert said.returncode == 7
    assert "unset PREFECT_API_URL" in said.stderr


def test_no_git_and_a_dirty_tree_make_no_difference_to_the_release(live):
    assert live.penstock("run", "tiny", PATH="/nowhere").returncode == 0
    live.git("init", "--quiet")
    (live.root / "mine.txt").write_text("not committed")
    assert "Nothing has changed since tiny-v1" in live.penstock("run", "tiny").stdout


def test_mlflow_that_is_not_there_loses_no_release_and_is_made_up_for(live):
    said = live.penstock("run", "tiny", PENSTOCK_MLFLOW_URI="sqlite:////proc/nowhere/secret.db")
    assert said.returncode == 7
    assert "tiny-v1 is registered" in said.stderr
    assert "Traceback" not in said.stderr
    assert_whole(live)
    assert (live.home / "mlflow" / "told" / "tiny").is_dir()
