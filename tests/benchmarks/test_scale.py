"""`benchmarks.scale` at a size that takes seconds: what it prints and keeps, and how it reads growth; no timing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest

from benchmarks.scale import Cost, require_disk, summary
from benchmarks.scale_data import Table, piece
from benchmarks.scale_growth import growth
from tests.conftest import REPOSITORY

ROWS = 20_000
LOCAL = ["floor", "in memory", "streamed", "floor, external", "external"]
STEPS = ["start", "look up", "validate", "split", "features alone", "profile", "train", "evaluate", "compare", "gate"]


def scale(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.scale", *arguments]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scale")
    asked = ("--rows", str(ROWS), "--scratch", str(scratch), "--json", str(scratch / "kept.json"))
    return scratch, asked, scale(*asked, "--paths", *LOCAL)


def test_every_path_trains_the_same_model_and_each_step_is_measured(run):
    scratch, _, done = run
    assert done.returncode == 0, done.stderr
    costs = {each["path"]: each for each in json.loads((scratch / "kept.json").read_text())}
    assert list(costs) == LOCAL
    assert len({each["facts"]["model"] for each in costs.values()}) == 1
    assert "the models of one process are the same, byte for byte" in done.stdout
    for path, cost in costs.items():
        facts = cost["facts"]
        assert facts["passed"] and facts["rounds"] == facts["trees"] == 10
        assert facts["split_rows"][2] == ROWS * 0.15
        assert facts["matrix"] == ("ExtMemQuantileDMatrix" if "external" in path else "QuantileDMatrix")
        assert cost["cpu"] > 0 and cost["peak"] >= max(step["peak"] for step in facts["steps"].values()) > 0
        if "floor" not in path:
            assert list(facts["steps"]) == STEPS
        assert f"{path:16}" in done.stdout and f"{path}: by step" in done.stdout


def test_nothing_is_left_but_what_was_asked_for_and_that_is_not_measured_again(run):
    scratch, asked, done = run
    assert [path.name for path in scratch.iterdir()] == ["kept.json"]
    before = (scratch / "kept.json").read_text()
    again = scale(*asked, "--paths", "external")
    assert again.returncode == 0, again.stderr
    assert (scratch / "kept.json").read_text() == before
    [line] = [line for line in done.stdout.splitlines() if line.startswith("  external") and "DMatrix" in line]
    assert line in again.stdout


def test_a_cluster_is_started_measured_and_ended(tmp_path):
    pytest.importorskip("distributed")
    done = scale("--rows", str(ROWS), "--scratch", str(tmp_path), "--json", str(tmp_path / "kept"), "--paths", "dask")
    assert done.returncode == 0, done.stderr
    [cost] = json.loads((tmp_path / "kept").read_text())
    assert list(cost["facts"]["steps"]) == ["cluster", *STEPS] and cost["facts"]["passed"]
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    left = [each.info["cmdline"] for each in psutil.process_iter(["cmdline"])]
    assert not [command for command in left if str(tmp_path) in " ".join(command or [])]


def test_too_little_disk_and_uneven_sizes_are_refused_in_words(tmp_path):
    refused = scale("--rows", str(10**13), "--scratch", str(tmp_path))
    assert refused.returncode == 1 and "too little disk" in refused.stderr and "Traceback" not in refused.stderr
    uneven = scale("--rows", "1000", "2500", "--scratch", str(tmp_path))
    assert uneven.returncode == 2 and "multiples of 1,000" in uneven.stderr
    require_disk(tmp_path, 1000, 0)
    assert not list(tmp_path.iterdir())


def test_a_smaller_size_is_the_first_rows_of_a_larger_one(tmp_path):
    table = Table(tmp_path, 500)
    small, large = table.version(1000), table.version(2000)
    assert small != large
    assert table.paths(1000) == table.paths(2000)[:2]
    listed = [each["md5"] for each in json.loads(table.object(large).read_text())]
    assert [path.name for path in table.paths(2000)] == [md5[2:] for md5 in listed]
    first, second = piece(0, 500), piece(1, 500)
    assert first.equals(piece(0, 500)) and not first.drop("id", "at").equals(second.drop("id", "at"))
    assert first["at"].is_sorted() and first["at"].max() < second["at"].min()


def test_growth_is_the_exponent():
    linear = growth({1_000_000: 10.0, 3_000_000: 30.0, 10_000_000: 100.0})
    assert linear.exponent == pytest.approx(1) and linear.last == pytest.approx(1) and not linear.faster
    assert linear.per_million == pytest.approx(10)
    square = growth({10: 1.0, 20: 4.0, 40: 16.0})
    assert square.exponent == pytest.approx(2) and square.faster and "FASTER" in str(square)
    begun = growth({1_000_000: 15.0, 10_000_000: 60.0, 100_000_000: 510.0})  # 10 s, and 5 s a million
    assert begun.exponent < 0.8 < begun.last < 1
    assert growth({10: 1.0}) is None and growth({10: 0.0, 20: 1.0}) is None


def test_the_summary_says_of_each_path_whether_it_grows_faster(capsys):
    def cost(path: str, rows: int, power: float) -> Cost:
        figure = rows**power
        return Cost(path, rows, figure, figure, figure, {"steps": {"train": {"cpu": figure, "peak": figure}}})

    summary([cost("external", rows, 1) for rows in (100, 300)] + [cost("floor", rows, 1.5) for rows in (100, 300)])
    told = capsys.readouterr().out
    assert told.count("rows^1.50 (last step 1.50)") == 3
    assert "train: its CPU grows FASTER than linearly, as rows^1.50; 100% of all" in told
    assert told.count("FASTER than linearly") == 3 + 2
    assert told.count("rows^1.00 (last step 1.00)") == 3
