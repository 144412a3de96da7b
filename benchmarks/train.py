"""Penstock beside the hand-written script, in one run: `uv run python -m benchmarks.train [--rounds 3] [--large]`.

The floor (`benchmarks/floor.py`) does the work of `train` in one straight process without Penstock. Both are new
processes, take turns on the same files, and get the same model. Prints wall seconds and the largest process's peak
memory, the medians' ratio, and the target. `--large` adds ten million rows, which takes ten minutes or more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from benchmarks.measure import Measured, measure

REPOSITORY = Path(__file__).resolve().parents[1]
PENSTOCK = [sys.executable, "-m", "flows.cli"]
CACHED = ("cache", "store", "ledger", "reports", "bentos", "mlflow/told")


class Bench:
    """A checkout of its own with the nine months ingested and its server up, and the floor's folder beside it."""

    def __init__(self, scratch: Path) -> None:
        self.root, self.home, self.out = scratch / "checkout", scratch / "checkout" / ".penstock", scratch / "floor"
        self.log = scratch / "last.log"
        self.config = self.root / "configs" / "flights.yaml"
        self.environment = {
            "PENSTOCK_ROOT": str(self.root),
            "PENSTOCK_HOME": str(self.home),
            "PYTHONPATH": str(REPOSITORY),
        }
        for name in ("configs", "examples", "bentos"):
            shutil.copytree(REPOSITORY / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / "flows").symlink_to(REPOSITORY / "flows")
        shutil.copy(REPOSITORY / "prefect.yaml", self.root)
        self.out.mkdir()

    def penstock(self, *arguments: str) -> Measured:
        return measure([*PENSTOCK, *arguments], self.root, self.environment, self.log)

    def floor(self, *arguments: str) -> Measured:
        python = next((self.home / "environments").glob("*/bin/python"))
        data = yaml.safe_load(self.config.read_text())["data"]["path"]
        script = [sys.executable, str(REPOSITORY / "benchmarks" / "floor.py"), "--data", str(self.root / data)]
        return measure(
            [*script, "--out", str(self.out), "--serve-python", str(python), *arguments], self.out, {}, self.log
        )

    def forget(self) -> None:
        """Everything that `train` made, so that the next one is cold; the server and the data stay."""
        for name in CACHED:
            shutil.rmtree(self.home / name, ignore_errors=True)

    def change(self, **params: float) -> None:
        tree = yaml.safe_load(self.config.read_text())
        tree["train"]["params"] |= params
        self.config.write_text(yaml.safe_dump(tree, sort_keys=False))


def compare(title: str, rounds: int, ours: Callable[[], Measured], floor: Callable[[], Measured], target: str) -> None:
    """Take turns, so that whatever else the machine does falls on both."""
    pairs = [(floor(), ours()) for _ in range(rounds)]
    floor_wall, our_wall = (statistics.median(pair[side].wall for pair in pairs) for side in (0, 1))
    floor_peak, our_peak = (statistics.median(pair[side].peak_mb for pair in pairs) for side in (0, 1))
    print(f"\n{title} (median of {rounds})")
    print(f"  wall   floor {floor_wall:7.2f} s    penstock {our_wall:7.2f} s    ratio {our_wall / floor_wall:5.2f}")
    print(f"  peak   floor {floor_peak:7.0f} MB   penstock {our_peak:7.0f} MB   ratio {our_peak / floor_peak:5.2f}")
    print(f"  target {target}", flush=True)


def cold(bench: Bench, rounds: int) -> None:
    def ours() -> Measured:
        bench.forget()
        return bench.penstock("train", "flights")

    bench.floor()  # makes MLflow's database, as the server's start made Prefect's
    compare("cold train, nine months", rounds, ours, bench.floor, "wall 1.25 x floor + 3 s, peak 1.25 x floor")


def changed(bench: Bench, rounds: int) -> None:
    depths = iter(range(4, 4 + rounds))

    def ours() -> Measured:
        bench.change(max_depth=next(depths))
        return bench.penstock("train", "flights")

    def floor() -> Measured:
        return bench.floor("--stage", "from-train")

    bench.forget()
    bench.penstock("train", "flights")
    compare("only train.params changed", rounds, ours, floor, "wall 1.0 x floor's train .. server check + 4 s")


def nothing(bench: Bench, rounds: int) -> None:
    """`penstock run` with nothing to do, beside `dvc repro` with nothing to do."""
    pipeline = bench.out / "pipeline"
    pipeline.mkdir()
    shutil.copytree(bench.root / "data" / "flights", pipeline / "data")
    stage = {"cmd": "cp data/2013-01.parquet model", "deps": ["data"], "outs": ["model"]}
    (pipeline / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}))
    quiet = {"DVC_NO_ANALYTICS": "true", "DO_NOT_TRACK": "true"}
    dvc = [sys.executable, "-m", "dvc"]
    measure([*dvc, "init", "--no-scm", "--quiet"], pipeline, quiet, bench.log)
    measure([*dvc, "repro", "--quiet"], pipeline, quiet, bench.log)
    bench.penstock("run", "flights")
    compare(
        "nothing changed: `penstock run` beside `dvc repro`",
        2 * rounds + 1,
        lambda: bench.penstock("run", "flights"),
        lambda: measure([*dvc, "repro"], pipeline, quiet, bench.log),
        "wall 1.2 x dvc repro",
    )


def large(scratch: Path, environments: Path) -> None:
    """Ten million rows, resampled from the flights, streamed through external memory on both sides."""
    bench = Bench(scratch)
    bench.home.mkdir()
    (bench.home / "environments").symlink_to(environments)
    tree = yaml.safe_load(bench.config.read_text())
    tree["data"] |= {"source": "benchmarks.large_source:source", "until": None}
    tree["train"] |= {"memory_budget_mb": 512}
    bench.config.write_text(yaml.safe_dump(tree, sort_keys=False))
    try:
        print("\nten million rows: making and ingesting them ...", flush=True)
        taken = bench.penstock("ingest", "flights", "--until", "part-20")
        print(f"  ingested in {taken.wall:.0f} s, peak {taken.peak_mb:.0f} MB")
        bench.penstock("up")
        compare(
            "10 million rows, streamed",
            1,
            lambda: bench.penstock("train", "flights"),
            lambda: bench.floor("--external"),
            "wall 1.2 x floor, peak at most 1300 MB",
        )
    finally:
        bench.penstock("down")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="also ten million rows")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} processors, load {load:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as scratch:
        bench = Bench(Path(scratch) / "small")
        try:
            first = bench.penstock("run", "flights", "--json")
            facts = json.loads(first.output[first.output.index("{\n") :])
            print(f"first run of all, server started and data ingested on the way: {first.wall:.1f} s")
            same = json.loads(bench.floor().output.strip().splitlines()[-1])["model_sha256"] == facts["model"]
            print(f"the floor's model has {'the same bytes' if same else 'OTHER BYTES'}")
            cold(bench, given.rounds)
            changed(bench, given.rounds)
            nothing(bench, given.rounds)
        finally:
            bench.penstock("down")
        if given.large:
            large(Path(scratch) / "large", bench.home / "environments")


if __name__ == "__main__":
    main()
