"""How long `penstock new` takes: `uv run python -m benchmarks.new [--rows 1000000] [--rounds 3]`.

Makes a CSV file of 50 columns (numbers, whole numbers, texts, times, the target), and a project of it in a new process
each round. Prints wall and CPU seconds and the peak of its memory (VmHWM, pages of the file that it maps included); the
target is 20 s and 1 GB for a million rows, imports included.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import measure

REPOSITORY = Path(__file__).resolve().parents[1]
TARGET = "target: 20 s, 1000 MB for 1,000,000 rows"


def make(path: Path, rows: int) -> None:
    """25 columns of numbers, 10 of whole numbers, 10 of texts, 4 of times, and a target that the first number tells."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(50)])
    numbers = {f"number{i}": rng.normal(size=rows).round(4) for i in range(25)}
    whole = {f"whole{i}": rng.integers(0, 10 ** (1 + i % 5), rows) for i in range(10)}
    texts = {f"text{i}": rng.choice(words[: 5 * (i + 1)], rows) for i in range(10)}
    times = {
        f"time{i}": pl.Series(1_577_836_800_000_000 + rng.integers(0, 10**8, rows) * 1_000_000)
        .cast(pl.Datetime("us"))
        .dt.strftime("%Y-%m-%d %H:%M:%S")
        for i in range(4)
    }
    target = np.where(numbers["number0"] + rng.normal(size=rows) > 0, "yes", "no")
    pl.DataFrame({**numbers, **whole, **texts, **times, "target": target}).write_csv(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root / "rows.csv", asked.rows)
        walls, peaks, cpus = [], [], []
        for number in range(asked.rounds):
            home = root / f"home{number}"  # nothing is remembered
            (root / "prefect.yaml").write_text("name: bench\ndeployments: []\n")
            environment = {"PENSTOCK_ROOT": str(root), "PENSTOCK_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
            command = [sys.executable, "-m", "flows.cli", "new", f"bench{number}", "rows.csv", "--target", "target"]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            found = measure(command, root, environment, root / "log")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            walls.append(found.wall)
            peaks.append(found.peak_mb)
        megabytes = (root / "rows.csv").stat().st_size / 1e6
    print(
        f"{asked.rows:,} rows x 50 columns, {megabytes:.0f} MB of CSV, median of {asked.rounds}, {os.cpu_count()} cores"
    )
    print(f"  wall {statistics.median(walls):6.2f} s   (of all: {', '.join(f'{wall:.2f}' for wall in walls)})")
    print(f"  cpu  {statistics.median(cpus):6.2f} s")
    print(f"  peak {statistics.median(peaks):6.0f} MB")
    print(f"  {TARGET}")


if __name__ == "__main__":
    main()
