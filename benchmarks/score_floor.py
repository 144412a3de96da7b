"""The floor of `benchmarks.score`: a script as one writes it, with nothing of Penstock but its fast whylogs profile.

Reads a folder of Parquet files one by one, validates with pandera, predicts, profiles, writes. No log, no quarantine,
no record. `--profile whylogs` uses `why.log` as it comes.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ |= {
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads that spin take the cores from those that work
    "PANDERA_VALIDATION_DEPTH": "SCHEMA_AND_DATA",
    "WHYLOGS_NO_ANALYTICS": "True",
}

import numpy as np

np.unicode_ = np.str_  # type: ignore[attr-defined]  # whylogs is from before NumPy 2

import polars as pl  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import xgboost as xgb  # noqa: E402
from pandera.io import polars_io  # noqa: E402

from tasks.data import whylogs_profile  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("rows", "release", "schema", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--profile", choices=["fast", "whylogs"], default="fast")
    given = parser.parse_args()
    spec = json.loads((given.release / "schema.json").read_text())
    about = json.loads((given.release / "about.json").read_text())
    booster = xgb.Booster(model_file=str(given.release / "model.ubj"))
    booster.set_param({"nthread": len(os.sched_getaffinity(0))})
    names = [column["name"] for column in spec["columns"]]
    categories = {column["name"]: pl.Enum(column["categories"]) for column in spec["columns"] if column["categories"]}
    schema = polars_io.from_yaml(given.schema.read_text())
    schema.remove_columns(["late"])
    schema = schema.remove_columns(["late"])
    schema.columns[given.key].unique = False
    codes = [
        pl.col(name).cast(categories[name], strict=False) if name in categories else pl.col(name).cast(pl.Float32)
        for name in names
    ]
    writer = view = None
    done = 0
    for file in sorted(given.rows.glob("*.parquet")):
        rows = pl.read_parquet(file).with_columns(pl.col(pl.Float32).fill_nan(None))
        schema.validate(rows, lazy=True)
        scores = booster.inplace_predict(rows.select(codes))
        part = _profile(rows.select(names), given.profile)
        view = part if view is None else view.merge(part)
        table = rows.select(
            pl.int_range(done, done + len(rows)).alias("row"),
            given.key,
            pl.lit(about["bento"]).alias("model"),
            pl.Series("probability", scores),
            pl.Series("prediction", scores >= about["threshold"]),
        ).to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(given.output, table.schema, compression="zstd")
        writer.write_table(table)
        done += len(rows)
    assert writer is not None and view is not None
    writer.close()
    given.output.with_suffix(".profile.bin").write_bytes(view.serialize())
    print(f"{done:,} rows")


def _profile(rows: pl.DataFrame, kind: str) -> object:
    if kind == "fast":
        return whylogs_profile.profile(rows)
    import whylogs

    return whylogs.log(pandas=rows.to_pandas()).profile().view()


if __name__ == "__main__":
    main()
