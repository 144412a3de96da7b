"""Drift alarms on real flights: how often windows in which nothing has changed alarm, and whether planted shifts do.

    PYTHONPATH=. python benchmarks/drift.py

The reference is January to September 2013, calendar columns left out. A window is drawn from it with replacement, so
nothing has changed in it; the same windows with a planted shift are the other half. Every window goes the whole way:
whylogs profile, summaries, `penstock.window.judge`. Beside it, on the same windows: whylogs' own default rule (its own
code and the same profiles), and Evidently's default, in an environment of its own that `uv` makes.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from uv import find_uv_bin

from examples.flights import source
from penstock.limits import share_interval
from penstock.monitor_config import MonitorConfig
from penstock.window import Reference, Window, judge
from tasks.summaries import summaries, window_profile
from tasks.whylogs_profile import profile

WINDOWS = {500: 600, 5000: 300, 50_000: 60}
PLANTED = 20  # windows of each size and shift
FOR_EVIDENTLY = {500: 40, 5000: 20, 50_000: 6}  # it takes seconds for each
ALSO_PLANTED = 3
CALENDAR = ("weekday", "month")
FEATURES = (
    "carrier", "origin", "dest", "departure_hour", "arrival_hour", "distance", "plane_year", "seats", "temp", "dewp",
    "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
)  # fmt: skip
SHIFTS: dict[str, tuple[str, pl.Expr]] = {
    "temp + 4 F": ("temp", pl.col("temp") + 4),
    "seats x 1.1": ("seats", pl.col("seats") * 1.1),
    "carrier UA -> B6": ("carrier", pl.col("carrier").replace("UA", "B6")),
}
SEASON = "January, July served"
CONFIG = MonitorConfig(ignore=CALENDAR)

Found = set[str]  # the columns that a rule calls drifted
Rule = Callable[[pl.DataFrame], Found]


def main() -> None:
    months = {name: source().read(name).rows.select(FEATURES) for name in source().names()[:9]}
    year = pl.concat(months.values())
    draws = np.random.default_rng(7)
    windows = {size: [_drawn(year, size, draws) for _ in range(number)] for size, number in WINDOWS.items()}
    julys = {size: [_drawn(months["2013-07"], size, draws) for _ in range(PLANTED)] for size in WINDOWS}
    print(f"Reference: {year.height:,} flights, {len(FEATURES)} features. Windows: drawn from it with replacement.")

    january = months["2013-01"]
    rules = {
        "penstock": (ours(year), ours(january)),
        "whylogs": (whylogs(year), whylogs(january)),
        "whylogs, numbers": (whylogs(year, numbers_only=True), whylogs(january, numbers_only=True)),
    }
    print("\nFalse alarms: share of windows in which any column is called drifted (penstock: any kind of alarm)")
    print(f"  {'':26}" + "".join(f"{f'{size:,} rows':>26}" for size in WINDOWS))
    for name, (rule, _) in rules.items():
        began = time.perf_counter()
        found = {size: [rule(rows) for rows in every] for size, every in windows.items()}
        took = (time.perf_counter() - began) / sum(WINDOWS.values())
        print(f"  {name:26}" + "".join(_rate(every) for every in found.values()) + f"   {took * 1000:.0f} ms each")
    theirs = evidently(year, january, windows, julys)
    if theirs:
        for name, limit in (("evidently, any column", 0.0), ("evidently, half of columns", 0.5)):
            cut = {size: [_half(found, limit) for found in theirs["none", size]] for size in WINDOWS}
            print(f"  {name:26}" + "".join(_rate(every) for every in cut.values()))

    print("\nPlanted shifts: share of windows in which the shifted column is called drifted")
    for shift, (column, expression) in SHIFTS.items():
        for name, (rule, _) in rules.items():
            hits = {
                size: [column in rule(rows.with_columns(expression.alias(column))) for rows in every[:PLANTED]]
                for size, every in windows.items()
            }
            print(f"  {shift:22} {name:18}" + "".join(_caught(every) for every in hits.values()))
        _their_hits(theirs, shift, column)
    print(f"\n{SEASON}: how many of {len(FEATURES)} columns are called drifted (least to most)")
    for name, (_, rule) in rules.items():
        counts = {size: [len(rule(rows)) for rows in every] for size, every in julys.items()}
        print(f"  {'':22} {name:18}" + "".join(f"{min(all_)} to {max(all_)}".rjust(14) for all_ in counts.values()))
    if theirs:
        counts = {size: [len(found) for found in theirs[SEASON, size]] for size in WINDOWS}
        print(
            f"  {'':22} {'evidently':18}" + "".join(f"{min(all_)} to {max(all_)}".rjust(14) for all_ in counts.values())
        )


def ours(reference: pl.DataFrame) -> Rule:
    """Columns with any alarm, of value or quality."""
    beside = Reference(name="reference", columns=summaries(window_profile(reference)))

    def rule(rows: pl.DataFrame) -> Found:
        columns = summaries(window_profile(rows))
        window = Window(start=0, end=1, rows=rows.height, columns=columns, requests=rows.height)
        verdict = judge(CONFIG, beside, window)
        checks = {check.column or check.name for check in verdict.checks if check.alarm}
        return checks | {column.name for column in verdict.columns if column.alarm}

    return rule


def whylogs(reference: pl.DataFrame, numbers_only: bool = False) -> Rule:
    """Columns that whylogs' default calls DRIFT: Kolmogorov-Smirnov for numbers, chi-squared for text, p < 0.05."""
    beside = profile(reference)
    viz = types.ModuleType("whylogs.viz")  # its own __init__ needs IPython, the calculation does not
    viz.__path__ = [str(Path(importlib.import_module("whylogs").__file__ or "").parent / "viz")]
    sys.modules.setdefault("whylogs.viz", viz)
    algorithms = importlib.import_module("whylogs.viz.drift.column_drift_algorithms")

    def rule(rows: pl.DataFrame) -> Found:
        scores = algorithms.calculate_drift_scores(profile(rows), beside, with_thresholds=True)
        return {
            name
            for name, score in scores.items()
            if score and score["drift_category"] == "DRIFT" and (score["algorithm"] == "ks" or not numbers_only)
        }

    return rule


def evidently(
    year: pl.DataFrame,
    january: pl.DataFrame,
    windows: dict[int, list[pl.DataFrame]],
    julys: dict[int, list[pl.DataFrame]],
) -> dict[tuple[str, int], list[Found]]:
    """What Evidently's default calls drifted, by shift and size; empty, and said so, where it cannot be installed."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "environment" / "bin" / "python"
        commands = [
            [find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(python.parents[1])],
            [find_uv_bin(), "pip", "install", "--quiet", "--no-config", "--compile-bytecode", "--python", str(python),
             "evidently==0.7.23", "pandas<3", "pyarrow"],
        ]  # fmt: skip
        for command in commands:
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                print(f"  evidently was not run: it could not be installed ({done.stderr.strip()[-200:]})")
                return {}
        year.write_parquet(f"{folder}/year.parquet")
        january.write_parquet(f"{folder}/january.parquet")
        jobs: list[tuple[str, int, str]] = []
        for size, every in windows.items():
            planted = [(shift, rows.with_columns(expression.alias(column)))
                       for shift, (column, expression) in SHIFTS.items() for rows in every[:ALSO_PLANTED]]  # fmt: skip
            planted += [("none", rows) for rows in every[: FOR_EVIDENTLY[size]]]
            planted += [(SEASON, rows) for rows in julys[size][:ALSO_PLANTED]]
            for shift, rows in planted:
                path = f"{folder}/{len(jobs)}.parquet"
                rows.write_parquet(path)
                jobs.append((shift, size, path))
        asked = [
            {"reference": f"{folder}/{'january' if shift == SEASON else 'year'}.parquet", "window": path}
            for shift, _, path in jobs
        ]
        script = str(Path(__file__).with_name("drift_evidently.py"))
        done = subprocess.run(
            [str(python), script], input=json.dumps(asked), capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(f"  evidently was not run: it failed ({done.stderr.strip()[-300:]})")
            return {}
    found: dict[tuple[str, int], list[Found]] = {}
    for (shift, size, _), columns in zip(jobs, json.loads(done.stdout.splitlines()[-1]), strict=True):
        found.setdefault((shift, size), []).append(set(columns))
    return found


def _their_hits(theirs: dict[tuple[str, int], list[Found]], shift: str, column: str) -> None:
    if theirs:
        hits = [[column in found for found in theirs[shift, size]] for size in WINDOWS]
        print(f"  {'':22} {'evidently':18}" + "".join(_caught(every) for every in hits))


def _drawn(rows: pl.DataFrame, size: int, draws: np.random.Generator) -> pl.DataFrame:
    return rows[draws.integers(0, rows.height, size)]


def _half(found: Found, limit: float) -> Found:
    return found if len(found) >= limit * len(FEATURES) else set()


def _rate(every: list[Any]) -> str:
    alarms = sum(map(bool, every))
    _, most = share_interval(alarms, len(every), 0.05)
    return f"{f'{alarms / len(every):.1%} of {len(every)} (≤ {most:.1%})':>26}"


def _caught(every: list[bool]) -> str:
    return f"{f'{sum(every)} of {len(every)}':>14}"


if __name__ == "__main__":
    main()
