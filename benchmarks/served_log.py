"""Closed segments of the prediction log as the servers write them, for tests and benchmarks of monitoring."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from penstock.candidate import Candidate
from penstock.config import FeaturesConfig
from tasks.store import store
from tasks.training.samples import json_rows, sample_rows

Row = Mapping[str, Any]


class ServedLog:
    """Writes what a release answered to its test rows. ``rows`` and ``scores`` belong together; ``written``: so far."""

    def __init__(self, home: Path, version: str, candidate: Candidate, features: FeaturesConfig, rows: int) -> None:
        self.folder = home / "predictions" / candidate.lineage.project / version
        self.folder.mkdir(parents=True, exist_ok=True)
        self.version = version
        drawn = sample_rows(candidate.splits, features, rows)
        known = pl.read_parquet(store.locate(candidate.evaluation.predictions), columns=["__row__", "score"])
        self.rows = json_rows(drawn.drop("__row__"))
        self.scores = drawn.select("__row__").join(known, on="__row__", how="left", maintain_order="left")["score"]
        self.written = 0

    def segment(
        self,
        rows: int = 0,
        change: Callable[[Row], Row] = lambda row: row,
        score: Callable[[float], float] = lambda score: score,
        **facts: Any,
    ) -> None:
        """A closed segment of ``rows`` requests of one row, all there are if 0, over and over if there are fewer.

        ``facts``: members of every record, such as ``replay``.
        """
        asked = [json.dumps(change(row)) for row in self.rows]
        answers = [_answer(self.version, score(known)) for known in self.scores]
        lines = []
        for number in range(rows or len(self.rows)):
            self.written += 1
            head = {"time_ns": time.time_ns(), "id": f"id{self.written}", "model": self.version}
            head |= {"environment": "production", "shadow": False, "replay": False, "status": 200, **facts}
            text = json.dumps(head, separators=(",", ":"))[:-1]
            at = number % len(asked)
            lines.append(f'{text},"request":{asked[at]},"response":{answers[at]}}}\n')
        name = f"{time.time_ns()}-{self.written}"
        (self.folder / f"{name}.jsonl").write_text("".join(lines))


def _answer(version: str, score: float) -> str:
    return json.dumps({"model": version, "predictions": [score > 0.5], "probabilities": [score]})
