"""Drift alarms on real flights: how often windows in which nothing has changed alarm, and whether planted shifts do.

    PYTHONPATH=. python benchmarks/drift.py

The reference is January to September 2013, calendar columns left out. A window is drawn from it with replacement, so
nothing has changed in it; the same windows with a planted shift are the other half. Every window goes the whole way:
whylogs profile, summaries, `penstock.window.judge`. Beside it, on the same windows: whylogs' own default rule (its own
code and the same profiles), and Evidently's default, in an environment of its own that `uv` makes. Ten minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from benchmarks.drift_rules import Found, Job, evidently, ours, whylogs
from examples.flights import source
from penstock.limits import share_interval

WINDOWS = {500: 600, 5000: 300, 50_000: 60}
PLANTED = 20  # windows of each size and shift
FOR_EVIDENTLY = {500: 20, 5000: 20, 50_000: 5}  # it takes seconds for each
ALSO_PLANTED = 2
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
    theirs = evidently({"year": year, "january": january}, jobs(windows, julys))
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


def jobs(windows: dict[int, list[pl.DataFrame]], julys: dict[int, list[pl.DataFrame]]) -> Iterator[Job]:
    """Those of the windows that Evidently judges, clean and with each shift."""
    for size, every in windows.items():
        for rows in every[: FOR_EVIDENTLY[size]]:
            yield Job("none", size, "year", rows)
        for shift, (column, expression) in SHIFTS.items():
            for rows in every[:ALSO_PLANTED]:
                yield Job(shift, size, "year", rows.with_columns(expression.alias(column)))
        for rows in julys[size][:ALSO_PLANTED]:
            yield Job(SEASON, size, "january", rows)


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
