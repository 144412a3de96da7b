"""The data source of the tests' project: a table made of a seed. `tiny_source.json` says what is wrong with it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import polars as pl

from penstock.batch import Batch

ROWS = 500
START = datetime.datetime(2024, 1, 1)


def options() -> dict:
    path = Path(__file__).with_suffix(".json")
    return json.loads(path.read_text()) if path.exists() else {}


class Tiny:
    def names(self) -> list[str]:
        return [f"b{number}" for number in range(1, options().get("batches", 4) + 1)]

    def read(self, name: str) -> Batch:
        wanted = options()
        number = int(name[1:])
        if wanted.get("fails") == name:
            raise RuntimeError("the database is asleep")
        rng = np.random.default_rng(number)
        rows = wanted.get("rows", ROWS)
        color = rng.choice(["red", "green", "blue"], rows)
        size = rng.uniform(0, 100, rows).astype(np.float32)
        signal = wanted.get("signal", 1.0) * ((size - 50) / 25 + (color == "red"))
        late = _label(wanted.get("task", "binary"), signal, rng.uniform(size=rows))
        frame = pl.DataFrame(
            {
                "id": [f"{name}-{row}" for row in range(rows)],
                "at": [START + datetime.timedelta(days=30 * number, minutes=20 * row) for row in range(rows)],
                "color": color,
                "size": size,
                "seats": pl.Series(rng.integers(0, 400, rows), dtype=pl.Int16),
                "wet": rng.uniform(size=rows) < 0.3,
                "late": late,
            }
        ).with_columns(
            pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise(pl.col("seats")).alias("seats"),
            pl.col("at").cast(pl.Datetime("us")),
        )
        return Batch(_spoiled(frame, wanted.get(name, {})), {"cancelled": 3})


def _label(task: str, signal: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """late as a truth value, as one of three classes, or as minutes."""
    if task == "regression":
        return 20 + 10 * signal + 5 * (chance - 0.5)
    if task == "multiclass":
        return np.array(["early", "on time", "late"])[np.digitize(signal + 2 * (chance - 0.5), [-0.5, 1.0])]
    return chance < 1 / (1 + np.exp(-signal))


def _spoiled(frame: pl.DataFrame, defects: dict) -> pl.DataFrame:
    """``defects``: {"invalid": n rows out of range, "label": a constant, "drop": column, "empty": true}."""
    first = pl.int_range(pl.len()) < defects.get("invalid", 0)
    frame = frame.with_columns(pl.when(first).then(1000.0).otherwise(pl.col("size")).cast(pl.Float32).alias("size"))
    if "label" in defects:
        frame = frame.with_columns(late=pl.lit(defects["label"]))
    if "drop" in defects:
        frame = frame.drop(defects["drop"])
    return frame.clear() if defects.get("empty") else frame


def source() -> Tiny:
    return Tiny()
