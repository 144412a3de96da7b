"""Scored rows as the prediction log keeps them: in the columns of `penstock/served.py`, as compaction writes them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from bentos.privacy import Privacy
from penstock.config import Project
from penstock.errors import ConfigError
from penstock.predicted import Predictor
from penstock.served import PRODUCTION, column_of, fixed_of
from tasks.monitoring.collecting import kept_fields
from tasks.scoring.batch_rows import Answered
from tasks.serving.release_server import LOG_KEY
from tasks.training.samples import json_rows

if TYPE_CHECKING:
    import polars as pl


class ServedRows:
    """Makes the rows of one run. Raises ConfigError if fields are to be hashed, and there is no key."""

    def __init__(self, project: Project, version: str, run: str, predictor: Predictor) -> None:
        log = project.serve.log
        self._run, self._version, self._hash, self._predictor = run, version, log.hash, predictor
        self._kinds = kept_fields(project)
        key = os.environ.get(LOG_KEY, "").encode()
        if log.hash and not key:
            raise ConfigError(
                "The prediction log is to hash fields, and there is no key.",
                where=f"configs/{project.name}.yaml, key serve.log.hash",
                found=", ".join(log.hash),
                next_step=f"put a secret into the environment variable {LOG_KEY}, or score with --no-log",
            )
        self._privacy = Privacy(log, key, frozenset())

    def frame(self, found: Answered) -> pl.DataFrame:
        """The rows as they are logged."""
        import polars as pl

        answers = self._predictor.kept(found.scores)
        return found.rows.select(
            pl.lit(self._run).alias("request_id"),
            found.place.alias("row"),
            pl.lit(time.time_ns(), pl.Int64).alias("time_ns"),
            pl.lit(self._version).alias("model"),
            pl.lit(PRODUCTION).alias("environment"),
            pl.Series("score", answers["score"], pl.Float32),
            pl.Series("decision", answers["decision"], getattr(pl, fixed_of(self._predictor.task)["decision"])),
            *(
                self._kept(found.rows[name], kind).alias(column_of(name))
                for name, kind in self._kinds.items()
                if name in found.rows.columns
            ),
        )

    def _kept(self, values: pl.Series, kind: str) -> pl.Series:
        import polars as pl

        if values.name not in self._hash:
            return values.cast(getattr(pl, kind), strict=False)
        distinct = values.unique()
        plain: list[dict[str, Any]] = json_rows(distinct.to_frame())  # as a client would send them
        digests = [self._privacy.hashed(row[values.name]) for row in plain]
        return values.replace_strict(distinct, digests, return_dtype=pl.String)
