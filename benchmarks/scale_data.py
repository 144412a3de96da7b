"""The table of `benchmarks.scale`: 20 columns made of a seed, written piece by piece, and a checkout that has it.

A piece is made of its number alone, so the rows of a smaller size are the first rows of a larger one, and all sizes
share their files: each is a dataset version of its own, as DVC lists it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    import polars as pl

MOST = 500_000  # rows of a piece
SECONDS = 30  # between two rows, on average
KINDS = {"device": 6, "plan": 4, "campaign": 40, "city": 300}  # texts of each column
NUMBERS = ("age", "income", "balance", "spend", "distance", "duration", "speed", "humidity", "pressure")
COUNTS = ("visits", "orders", "returns")
FEATURES = len(KINDS) + len(NUMBERS) + len(COUNTS) + 1
ROUNDS = 10
RESAMPLES = 100  # of the comparison; a project has 1000 unless it says otherwise

SCHEMA = {
    "strict": True,
    "columns": {
        "id": {"dtype": "String", "unique": True},
        "at": {"dtype": "Datetime(time_unit='us')"},
        **{name: {"dtype": "String", "nullable": True, "str_matches": f"^{name}-[0-9]+$"} for name in KINDS},
        **{
            name: {"dtype": "Float32", "nullable": True, "in_range": {"min_value": -100, "max_value": 100}}
            for name in NUMBERS
        },
        **{name: {"dtype": "Int32", "in_range": {"min_value": 0, "max_value": 1000}} for name in COUNTS},
        "member": {"dtype": "Boolean"},
        "bought": {"dtype": "Boolean"},
    },
}
PROJECT = {
    "name": "scale",
    "data": {
        "source": "nowhere:source",  # the dataset is there already
        "path": "data/scale",
        "max_invalid_fraction": 0.01,
        "outliers": {"income": "warn", "spend": "warn"},
    },
    "schema": "schemas/scale.yaml",
    "features": {
        "label": "bought",
        "time": "at",
        "categorical": list(KINDS),
        "numeric": [*NUMBERS, *COUNTS, "member"],
    },
    "split": {"validation": 0.15, "test": 0.15, "gap_hours": 1},
    "train": {
        "rounds": ROUNDS,
        "early_stopping_rounds": ROUNDS,
        "params": {"max_depth": 8, "eta": 0.1, "min_child_weight": 5, "max_cat_to_onehot": 1},
    },
    "evaluate": {"threshold_metric": "f1", "slices": ["device"], "min_slice_rows": 200},
    "gate": {
        "metrics": {"auc": {"min": 0.6, "max_loss": 0.01}, "log_loss": {"max": 0.7, "max_loss": 0.01}},
        "slices": {"auc": {"min": 0.5}},
        "resamples": RESAMPLES,
        "min_rows": 500,
        "max_model_mb": 50,
        "max_latency_ms": 50,
    },
    "package": {"purpose": "Shows how the cost of training grows with the rows."},
}


def piece(number: int, rows: int) -> pl.DataFrame:
    """Rows ``number * rows`` and the following ones, in the order of their time."""
    import numpy as np
    import polars as pl

    draws = np.random.default_rng([7, number])
    first = number * rows
    moments = np.sort(draws.integers(first * SECONDS, (first + rows) * SECONDS, rows)) * 1_000_000
    codes = {name: draws.integers(0, size, rows) for name, size in KINDS.items()}
    texts = {name: pl.Series([f"{name}-{n}" for n in range(KINDS[name])]).gather(codes[name]) for name in KINDS}
    numbers = {name: draws.normal(0, 2 + at, rows).astype(np.float32) for at, name in enumerate(NUMBERS)}
    counts = {name: draws.poisson(3 + 4 * at, rows).astype(np.int32) for at, name in enumerate(COUNTS)}
    member = draws.random(rows) < 0.3
    effects = np.random.default_rng(7).normal(0, 0.5, KINDS["city"])  # of all pieces the same
    signal = (
        numbers["age"] / 2 + numbers["income"] * member / 3 + effects[codes["city"]] + np.log1p(counts["orders"]) - 3
    )
    bought = draws.random(rows) < 1 / (1 + np.exp(-signal))
    gaps = {name: draws.random(rows) < 0.1 for name in ("balance", "humidity", "campaign")}
    frame = pl.DataFrame(
        {
            "id": pl.int_range(first, first + rows, eager=True).cast(pl.String).str.zfill(12),
            "at": pl.Series(1_577_836_800_000_000 + moments).cast(pl.Datetime("us")),
            **texts,
            **numbers,
            **counts,
            "member": member,
            "bought": bought,
        }
    )
    return frame.with_columns(
        pl.when(pl.Series(gap)).then(None).otherwise(pl.col(name)).alias(name) for name, gap in gaps.items()
    )


class Table:
    """A checkout whose dataset versions are the first rows of one table; its files are added as a size needs them."""

    def __init__(self, root: Path, piece_rows: int) -> None:
        self.root, self.piece_rows = root, piece_rows
        self.files: list[str] = []  # MD5 of each piece
        (root / "configs" / "schemas").mkdir(parents=True)
        (root / "prefect.yaml").write_text("name: scale\ndeployments: []\n")
        self.config.write_text(yaml.safe_dump(PROJECT, sort_keys=False))
        self.schema.write_text(yaml.safe_dump(SCHEMA, sort_keys=False))

    @property
    def config(self) -> Path:
        return self.root / "configs" / "scale.yaml"

    @property
    def schema(self) -> Path:
        return self.root / "configs" / "schemas" / "scale.yaml"

    def version(self, rows: int) -> str:
        """The dataset version that has the first ``rows`` rows; what is not there yet is made."""
        while len(self.files) * self.piece_rows < rows:
            self.files.append(self._written(len(self.files)))
        names = [f"part-{number:04}.parquet" for number in range(rows // self.piece_rows)]
        listed = json.dumps([{"md5": md5, "relpath": name} for md5, name in zip(self.files, names, strict=False)])
        name = hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest() + ".dir"
        self.object(name).parent.mkdir(parents=True, exist_ok=True)
        self.object(name).write_text(listed)
        return name

    def paths(self, rows: int) -> list[Path]:
        return [self.object(md5) for md5 in self.files[: rows // self.piece_rows]]

    def object(self, name: str) -> Path:
        """Where DVC keeps what has this MD5."""
        return self.root / ".dvc" / "cache" / "files" / "md5" / name[:2] / name[2:]

    def _written(self, number: int) -> str:
        draft = self.root / "draft.parquet"
        piece(number, self.piece_rows).write_parquet(draft, compression="zstd", row_group_size=131_072)
        with draft.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        self.object(md5).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(draft, self.object(md5))
        return md5
