"""How the cost of `train` grows with the rows: `uv run python -m benchmarks.scale [--rows 1000000 3000000 ...]`.

Every path at every size is a new process on the same generated table (20 columns, one seed), pinned to two processors:
the steps of `train` up to the gates. Prints wall and CPU seconds and the most memory, also per row and by step, and how
fast each grows. Beside them, in the same run, the hand-written script (`benchmarks/floor.py`). The paths:

  in memory   the binned training rows are in memory (XGBoost's QuantileDMatrix), whatever they need
  streamed    the default: `train.memory_budget_mb` decides by the rows whether they are
  external    the binned training rows are in a file (ExtMemQuantileDMatrix), whatever they need
  dask        two workers of one thread, each with its share; the scheduler and whoever asks are two processes more

The raw table is in memory in none of them: files are read batch by batch. It is in the script, unless it is "external".
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import scale_cluster
from benchmarks.measure import Measured, measure
from benchmarks.scale_data import FEATURES, MOST, ROUNDS, Table
from benchmarks.scale_growth import growth

REPOSITORY = Path(__file__).resolve().parents[1]
SIZES = (1_000_000, 3_000_000, 10_000_000, 30_000_000)
FLOORS = {"floor": "memory", "floor, external": "external"}
PATHS = ("floor", "in memory", "streamed", "floor, external", "external", "dask")
LOOK = 0.2  # seconds between two looks at the processes: the peak of a single one is known without
DISK = 250  # bytes a row at the largest size: the table, its splits, XGBoost's files, predictions; measured 195


@dataclass(frozen=True)
class Cost:
    """One path at one size. ``peak``: most MB that all its processes held at once. ``facts``: what it printed."""

    path: str
    rows: int
    wall: float
    cpu: float
    peak: float
    facts: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES), metavar="N", help="the sizes")
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS), metavar="PATH")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="where a folder is made")
    parser.add_argument("--keep-free-gb", type=float, default=5, help="disk that is left free there")
    parser.add_argument("--json", type=Path, help="keep every figure there; what it has is not measured again")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before the last measurement"))  # the folder goes, too
    sizes = sorted(set(asked.rows))
    rows = min(MOST, sizes[0])
    uneven = [size for size in sizes if size <= 0 or size % rows]
    if uneven:
        parser.error(f"--rows {uneven[0]}: sizes are multiples of {rows:,}, the rows of a file")
    require_disk(asked.scratch, sizes[-1], asked.keep_free_gb)
    print(
        f"{os.cpu_count()} processors, two of them used, load {os.getloadavg()[0]:.1f}, Python "
        f"{sys.version.split()[0]}; {FEATURES} features, {ROUNDS} rounds, files of {rows:,} rows",
        flush=True,
    )
    paths = list(asked.paths)
    if "dask" in paths and scale_cluster.missing():
        paths.remove("dask")
        print(f"dask is not measured: {scale_cluster.missing()}", flush=True)
    with tempfile.TemporaryDirectory(prefix="penstock-scale-", dir=asked.scratch) as folder:
        costs = measured(Path(folder), rows, sizes, paths, asked.json)
    summary(costs)


def require_disk(scratch: Path, rows: int, keep_gb: float) -> None:
    """End the program if the folder's disk has too little room for ``rows``."""
    needed, free = rows * DISK / 1e9, shutil.disk_usage(scratch).free / 1e9
    if free - keep_gb < needed:
        raise SystemExit(
            f"There is too little disk in {scratch}: {rows:,} rows take about {needed:.1f} GB, and {keep_gb:g} GB are "
            f"to stay free, but only {free:.1f} GB are. Name another folder (--scratch), or fewer rows (--rows)."
        )


def measured(folder: Path, piece_rows: int, sizes: list[int], paths: list[str], kept: Path | None) -> list[Cost]:
    """All costs, printed as they come. At each size the paths follow one another on the same files."""
    table = Table(folder / "checkout", piece_rows)
    earlier = [Cost(**each) for each in json.loads(kept.read_text())] if kept and kept.exists() else []
    known = {(cost.path, cost.rows): cost for cost in earlier}
    costs: list[Cost] = []
    for rows in sizes:
        version = table.version(rows)
        size = sum(path.stat().st_size for path in table.paths(rows)) / 1e6
        print(f"\n{rows:,} rows, {size:,.0f} MB of Parquet", flush=True)
        head = f"{'CPU, us a row':>14} {'B a row':>9}  matrix"
        print(f"  {'':16} {'wall, s':>9} {'CPU, s':>9} {'peak, MB':>9} {head}", flush=True)
        for path in paths:
            cost = known.get((path, rows)) or run(table, path, rows, version, folder)
            costs.append(cost)
            if kept:
                known[path, rows] = cost
                kept.write_text(json.dumps([asdict(each) for each in known.values()], indent=1))
            print(
                f"  {path:16} {cost.wall:9.1f} {cost.cpu:9.1f} {cost.peak:9.0f} {cost.cpu / rows * 1e6:14.2f} "
                f"{cost.peak * 2**20 / rows:9.0f}  {cost.facts['matrix']}",
                flush=True,
            )
        models = [cost.facts["model"] for cost in costs if cost.rows == rows and cost.path != "dask"]
        if models:
            told = "the same, byte for byte" if len(set(models)) == 1 else "NOT THE SAME"
            print(f"  the models of one process are {told}", flush=True)
    return costs


def run(table: Table, path: str, rows: int, version: str, folder: Path) -> Cost:
    """One path in a new process, with a home of its own that goes with it."""
    home = folder / "home"
    home.mkdir()
    environment = {"PENSTOCK_ROOT": str(table.root), "PENSTOCK_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    if path in FLOORS:
        script = [sys.executable, str(REPOSITORY / "benchmarks" / "scale_floor.py"), FLOORS[path]]
        script += [str(table.config), str(table.schema), str(home), *map(str, table.paths(rows))]
    else:
        script = [sys.executable, "-m", "benchmarks.scale_steps", path, version]
    try:
        taken: Measured = measure(script, table.root, environment, folder / "log", LOOK)
    finally:
        shutil.rmtree(home)
    facts = json.loads(taken.output.strip().splitlines()[-1])
    peak = max(taken.tree_mb, *(step["peak"] for step in facts["steps"].values()))
    return Cost(path, rows, taken.wall, taken.cpu, peak, facts)


def summary(costs: list[Cost]) -> None:
    """Each step by size and how it grows, then each path's verdict."""
    for path in dict.fromkeys(cost.path for cost in costs):
        mine = {cost.rows: cost for cost in costs if cost.path == path}
        sizes = " ".join(f"{_short(rows):>8}" for rows in mine)
        print(f"\n{path}: by step\n  {'CPU, s':16} {sizes}  exponent    {'peak, MB':10} {sizes}  exponent")
        for step in next(iter(mine.values())).facts["steps"]:
            columns = []
            for figure in ("cpu", "peak"):
                by_size = {rows: cost.facts["steps"][step][figure] for rows, cost in mine.items()}
                found = growth(by_size)
                cells = " ".join(f"{value:8.0f}" if figure == "peak" else f"{value:8.1f}" for value in by_size.values())
                columns.append(f"{cells}  {f'{found.exponent:8.2f}' if found else '       -'}")
            print(f"  {step:16} {columns[0]}    {'':10} {columns[1]}")
        for told in steps_that_grow_faster(mine):
            print(f"  {told}")
    kinds: dict[str, Callable[[Cost], float]] = {
        "CPU seconds": lambda cost: cost.cpu,
        "peak MB": lambda cost: cost.peak,
        "wall seconds": lambda cost: cost.wall,
    }
    for kind, figure in kinds.items():
        print(f"\n{kind} grow as")
        for path in dict.fromkeys(cost.path for cost in costs):
            found = growth({cost.rows: figure(cost) for cost in costs if cost.path == path})
            print(f"  {path:16} {found or 'one size tells nothing'}")


def steps_that_grow_faster(costs: dict[int, Cost]) -> Iterator[str]:
    """What to say of each step of a path, {rows: cost}, whose CPU or memory grows faster than linearly."""
    largest = costs[max(costs)]
    for step in largest.facts["steps"]:
        for figure, total in (("cpu", largest.cpu), ("peak", largest.peak)):
            found = growth({rows: cost.facts["steps"][step][figure] for rows, cost in costs.items()})
            if found and found.faster:
                share = largest.facts["steps"][step][figure] / total
                name = {"cpu": "CPU", "peak": "peak"}[figure]
                yield f"{step}: its {name} grows FASTER than linearly, as rows^{found.exponent:.2f}; {share:.0%} of all"


def _short(rows: int) -> str:
    return f"{rows / 1e6:g} M" if rows >= 1_000_000 else f"{rows:,}"


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
