"""What one window's monitor run costs, by predictions: `python -m benchmarks.monitor [--rows 10000 100000 1000000]`.

On the flights, with a release that is trained first and its test rows as traffic, over and over. Every run is the
command `penstock monitor flights --close` in a process of its own, beside a Prefect server that is up: segments of the
prediction log in, window, profile, verdict, estimate, scores and report out. Then labels for all of the largest window,
and runs of small windows one after another: what there was before costs nothing. Ten minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import polars as pl

from benchmarks.measure import Measured, measure
from benchmarks.served_log import ServedLog
from benchmarks.train import Bench

MAKE = """
from flows.ingest import ingest
from flows.train import train
ingest.fn("flights", until="2013-09")
train.fn("flights")
"""
SEGMENT = 100_000  # rows
MANY = 20  # windows
LEFT = ("predictions", "monitor", "scores", "labels", "reports/flights/drift")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 2_000_000])
    wanted = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-monitor-") as folder:
        bench = Bench(Path(folder))
        bench.environment |= {"PENSTOCK_PRODUCTION_PORT": "0", "PENSTOCK_STAGING_PORT": "0"}
        os.environ |= bench.environment  # for what is read here
        try:
            measure([sys.executable, "-c", MAKE], bench.root, bench.environment, bench.log)
            bench.penstock("up")
            by_rows(bench, wanted.rows)
            labelled(bench)
            one_after_another(bench)
        finally:
            bench.penstock("down")


def by_rows(bench: Bench, sizes: list[int]) -> None:
    print(f"{'predictions':>12} {'CPU s':>8} {'wall s':>8} {'peak MB':>8}")
    costs = []
    for rows in sizes:
        forget(bench)
        serve(bench, rows)
        found, cpu = monitored(bench)
        costs.append(cpu)
        print(f"{rows:>12,} {cpu:>8.1f} {found.wall:>8.1f} {found.peak_mb:>8.0f}", flush=True)
    for (fewer, low), (more, high) in pairwise(zip(sizes, costs, strict=True)):
        print(f"{fewer:,} to {more:,}: CPU grows with the power {math.log(high / low) / math.log(more / fewer):.2f}")


def labelled(bench: Bench) -> None:
    """Labels of every row of the window that is there, and the run that scores it."""
    windows = sorted((bench.home / "monitor" / "flights").glob("[0-9]*.json"))
    rows = pl.concat([pl.read_parquet(path, columns=["request_id"]) for path in bench.home.glob("store/*/*.parquet")
                      if "request_id" in pl.read_parquet_schema(path)]).unique()  # fmt: skip
    path = bench.root / "labels.parquet"
    rows.with_columns(late=pl.int_range(pl.len()) % 5 == 0).write_parquet(path)
    before = spent()
    found = bench.penstock("label", "flights", str(path))
    print(f"labels of {rows.height:,} in {len(windows)} windows: {spent() - before:.1f} CPU s, {found.peak_mb:.0f} MB")


def one_after_another(bench: Bench) -> None:
    """The first and the last of many small windows."""
    forget(bench)
    costs = []
    for _ in range(MANY):
        serve(bench, 2000)
        costs.append(monitored(bench)[1])
    first, last = sum(costs[1:6]) / 5, sum(costs[-5:]) / 5
    print(f"{MANY} windows of 2,000: the first ones {first:.1f} CPU s each, the last ones {last:.1f}")


def forget(bench: Bench) -> None:
    for name in LEFT:
        shutil.rmtree(bench.home / name, ignore_errors=True)
    for path in bench.home.glob("store/*/*.parquet"):
        if "request_id" in pl.read_parquet_schema(path):
            path.unlink()


def serve(bench: Bench, rows: int) -> None:
    from tasks.data.project import load_project
    from tasks.registry.releases import packaged

    candidate = packaged("flights").candidate
    log = ServedLog(bench.home, "flights-v1", candidate, load_project("flights").features, 20_000)
    for start in range(0, rows, SEGMENT):
        log.segment(min(SEGMENT, rows - start))


def monitored(bench: Bench) -> tuple[Measured, float]:
    """The run, and its CPU seconds."""
    before = spent()
    return bench.penstock("monitor", "flights", "--close"), spent() - before


def spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
