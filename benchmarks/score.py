"""`penstock score` beside a script that does the same by hand, in one run: `python -m benchmarks.score [--rows N]`.

The script (`benchmarks/score_floor.py`) reads, validates with pandera, predicts, profiles and writes. Both are new
processes and take turns on the same files. Prints wall and CPU seconds and the largest process's peak memory, medians,
and the target. Penstock also quarantines, logs every row for monitoring, and records; the answers are compared.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.large_source import PARTS, ROWS, Large
from benchmarks.measure import Measured, measure
from benchmarks.train import REPOSITORY, Bench

TARGET = "wall 1.3 x the script, peak under 1000 MB"


def timed(work: Callable[[], Measured]) -> tuple[Measured, float]:
    """What it measured, and the CPU seconds of the processes it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_rows(folder: Path, wanted: int) -> int:
    folder.mkdir()
    source, made = Large(), 0
    for name in source.names():
        rows = source.read(name).rows.drop("late").head(wanted - made)
        if rows.height:
            rows.write_parquet(folder / f"{name}.parquet", compression="zstd", row_group_size=131_072)
        made += rows.height
    return made


def line(title: str, found: list[tuple[Measured, float]]) -> tuple[float, float]:
    wall, cpu, peak = (
        statistics.median(values)
        for values in (
            [one.wall for one, _ in found],
            [cpu for _, cpu in found],
            [one.peak_mb for one, _ in found],
        )
    )
    print(f"  {title:<24} wall {wall:7.2f} s   CPU {cpu:7.2f} s   peak {peak:6.0f} MB", flush=True)
    return wall, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help=f"at most {PARTS * ROWS:,}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whylogs", action="store_true", help="the script also with `why.log` as it comes, once")
    given = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}", flush=True)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as scratch:
        rows = Path(scratch) / "rows"
        print(f"{make_rows(rows, given.rows):,} rows in a folder of files", flush=True)
        bench = Bench(Path(scratch) / "bench")
        try:
            bench.penstock("ingest", "flights", "--until", "2013-09")
            bench.penstock("train", "flights")
            compare(bench, rows, given.rounds, given.whylogs)
        finally:
            bench.penstock("down")


def compare(bench: Bench, rows: Path, rounds: int, whylogs: bool) -> None:
    ours_out, floor_out = bench.out / "ours.parquet", bench.out / "floor.parquet"
    release = next((bench.home / "bentos").glob("*/models/**/model.ubj")).parent
    script = [sys.executable, "-m", "benchmarks.score_floor", "--rows", str(rows), "--release", str(release)]
    script += ["--schema", str(REPOSITORY / "configs/schemas/flights.yaml"), "--key", "flight_id"]
    script += ["--output", str(floor_out)]

    def ours(*more: str) -> Measured:
        return bench.penstock("score", "flights", str(rows), str(ours_out), "--keys", "flight_id", "--force", *more)

    def floor(*more: str) -> Measured:
        return measure([*script, *more], REPOSITORY, {}, bench.log)

    found = [(timed(floor), timed(ours)) for _ in range(rounds)]
    print(f"\nmedian of {rounds}")
    floor_wall, _ = line("script", [pair[0] for pair in found])
    wall, peak = line("penstock score", [pair[1] for pair in found])
    print(f"  ratio {wall / floor_wall:.2f}, peak {peak:.0f} MB   target: {TARGET}")
    same = pl.read_parquet(ours_out, columns=["probability"]).equals(
        pl.read_parquet(floor_out, columns=["probability"])
    )
    print(f"  the probabilities are {'the same, bit for bit' if same else 'NOT THE SAME'}")
    line("penstock score --no-log", [timed(lambda: ours("--no-log"))])
    if whylogs:
        line("script with why.log", [timed(lambda: floor("--profile", "whylogs"))])


if __name__ == "__main__":
    main()
