"""What a bad day gets: a clear message and the next command, nothing half-written, and a rerun that goes on."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import REPOSITORY
from tests.interrupted import assert_whole


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
