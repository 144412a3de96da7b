"""The floor's data: reads the files, validates them against the schema, splits them by time, encodes batches."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

CONFIGS = Path(__file__).parent.parent / "configs"
NAMES = ("train", "validation", "test")
BATCH = 131_072  # rows
ROW = "__row__"  # a row's place in the data
QUARTILES = (0.25, 0.5, 0.75)


@dataclass
class Run:
    """The arguments, the project's YAML, the splits as far as they are in memory, and the seconds of each step."""

    data: Path
    out: Path
    external: bool
    config: dict[str, Any]
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)

    @property
    def categorical(self) -> list[str]:
        return list(self.config["features"]["categorical"])

    @property
    def names(self) -> list[str]:
        return [*self.categorical, *self.config["features"]["numeric"]]

    @property
    def label(self) -> str:
        return str(self.config["features"]["label"])

    @property
    def slices(self) -> list[str]:
        return list(self.config["evaluate"]["slices"])

    @property
    def files(self) -> list[Path]:
        return sorted(self.data.glob("*.parquet"))

    def file(self, split: str) -> Path:
        return self.out / f"{split}.parquet"

    def batches(self, split: str, columns: list[str]) -> Iterator[pl.DataFrame]:
        """The rows of a split in order: from memory, or streamed from its file."""
        import polars as pl
        import pyarrow.parquet as pq

        if not self.external and split not in self.frames:
            self.frames[split] = pl.read_parquet(self.file(split))
        if split in self.frames:
            yield from self.frames[split].select(columns).iter_slices(BATCH)
            return
        with pq.ParquetFile(self.file(split), pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH, columns=columns):
                yield pl.DataFrame(pl.from_arrow(batch))

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.steps[name] = round(time.perf_counter() - began, 3)


def scan(files: list[Path]) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_parquet(files).with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))


def validate(run: Run) -> list[int]:
    """Positions of the rows that break the schema. Ends the program if they are too many, or columns are wrong."""
    from pandera.io import polars_io

    rules = run.config["data"]
    schema = polars_io.from_yaml((CONFIGS / run.config["schema"]).read_text())
    keys = [name for name, column in schema.columns.items() if column.unique]
    for name in keys:  # over all files, and without holding every value as pandera does
        schema.columns[name].unique = False
    bad: set[int] = set()
    total = 0
    for part in [[file] for file in run.files] if run.external else [run.files]:
        rows = scan(part)
        bad.update(total + at for at in _broken(schema, rows))
        total += _warn_of_outliers(rows, list(rules["outliers"]))
    for name in keys:
        bad.update(_repeated(scan(run.files), name))
    if len(bad) > rules["max_invalid_fraction"] * total:
        raise SystemExit(f"{len(bad):,} of {total:,} rows are not what the schema says")
    return sorted(bad)


def _broken(schema: Any, rows: pl.LazyFrame) -> list[int]:
    from pandera.errors import SchemaErrors

    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        failures = errors.failure_cases
        if failures["index"].null_count():
            raise SystemExit(f"the columns are not those of the schema: {failures}") from None
        return list(failures["index"])
    return []


def _repeated(rows: pl.LazyFrame, key: str) -> list[int]:
    """Positions of rows whose key was there before. Sorted hashes: a fifth of the memory of a set of them."""
    import polars as pl

    hashes = rows.select(pl.col(key).hash(7)).collect(engine="streaming").to_series().to_numpy(writable=True)
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return []
    return list(rows.select((~pl.col(key).is_first_distinct()).arg_true()).collect().to_series())


def _warn_of_outliers(rows: pl.LazyFrame, columns: list[str]) -> int:
    """Says how many values are far from the median. Returns the number of rows."""
    import polars as pl

    shares = {f"{name} {at}": (name, at) for name in columns for at in QUARTILES}
    quartiles = [pl.col(name).cast(pl.Float64).quantile(at).alias(key) for key, (name, at) in shares.items()]
    facts = rows.select(pl.len(), *quartiles).collect(engine="streaming").row(0, named=True)
    outside = []
    for name in columns:
        low, middle, high = (facts[f"{name} {at}"] for at in QUARTILES)
        outside.append(((pl.col(name) - middle).abs() > 10 * (high - low)).sum().alias(name))
    for name, count in rows.select(outside).collect(engine="streaming").row(0, named=True).items():
        if count:
            print(f"{name}: {count:,} outliers", file=sys.stderr)
    return int(facts["len"])


def split_by_time(run: Run, bad: list[int]) -> None:
    """Three Parquet files: the last rows judge, those before them choose, a gap before each boundary is left out."""
    import polars as pl

    settings, time_column = run.config["split"], run.config["features"]["time"]
    columns = list(dict.fromkeys([*run.names, run.label, *run.slices, time_column]))
    rows = pl.scan_parquet(run.files).select(columns).with_row_index(ROW).filter(~pl.col(ROW).is_in(bad))
    times = rows.select(time_column).collect(engine="streaming").to_series().to_physical().to_numpy(writable=True)
    ends = [round(len(times) * (1 - share)) for share in (settings["validation"] + settings["test"], settings["test"])]
    times.partition(ends)
    choose, judge = (int(times[end]) for end in ends)
    del times
    gap, moment = round(settings["gap_hours"] * 3600e6), pl.col(time_column).to_physical()
    parts = {
        "train": moment < choose - gap,
        "validation": (moment >= choose) & (moment < judge - gap),
        "test": moment >= judge,
    }
    if run.external:
        _deal(run, bad, columns, parts)
        return
    everything = rows.collect()
    for name, where in parts.items():
        run.frames[name] = everything.filter(where).drop(time_column)
        run.frames[name].write_parquet(run.file(name), row_group_size=BATCH)


def _deal(run: Run, bad: list[int], columns: list[str], parts: dict[str, pl.Expr]) -> None:
    """A batch at a time: polars' streaming sinks are three seconds faster on ten million rows, but hold 450 MB more."""
    import polars as pl
    import pyarrow.parquet as pq

    writers: dict[str, pq.ParquetWriter] = {}
    position = 0
    for path in run.files:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH, columns=columns):
                rows = pl.DataFrame(pl.from_arrow(batch)).with_row_index(ROW, position)
                position += len(rows)
                for name, where in parts.items():
                    chosen = rows.filter(where, ~pl.col(ROW).is_in(bad))
                    table = chosen.to_arrow(compat_level=pl.CompatLevel.oldest())
                    if name not in writers:
                        writers[name] = pq.ParquetWriter(run.file(name), table.schema, compression="zstd")
                    if len(chosen):
                        writers[name].write_table(table)
    for writer in writers.values():
        writer.close()


def categories(run: Run) -> dict[str, list[str]]:
    import polars as pl

    train = run.frames["train"].lazy() if "train" in run.frames else pl.scan_parquet(run.file("train"))
    values = train.select(pl.col(name).unique().drop_nulls().sort().implode() for name in run.categorical)
    return {name: list(found[0]) for name, found in values.collect(engine="streaming").to_dict().items()}


def encode(run: Run, frame: pl.DataFrame, known: dict[str, list[str]]) -> pl.DataFrame:
    import polars as pl

    codes = [pl.col(name).cast(pl.Enum(values), strict=False) for name, values in known.items()]
    return frame.select(*codes, *(pl.col(name).cast(pl.Float32) for name in run.config["features"]["numeric"]))
