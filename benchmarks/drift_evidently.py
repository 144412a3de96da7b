"""Evidently's default on the windows of `benchmarks/drift.py`; runs in an environment of its own.

Reads from standard input a list of {"reference": ..., "window": ...}, both Parquet files; prints for each window the
columns that drifted, by the test and threshold that Evidently itself chooses for the column.
"""

from __future__ import annotations

import functools
import json
import sys
import warnings

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

warnings.simplefilter("ignore")


@functools.cache
def dataset(path: str) -> Dataset:
    rows = pd.read_parquet(path)
    texts = [name for name in rows.columns if rows[name].dtype == object]
    numbers = [name for name in rows.columns if name not in texts]
    return Dataset.from_pandas(rows, DataDefinition(numerical_columns=numbers, categorical_columns=texts))


def drifted(reference: str, window: str) -> list[str]:
    found = []
    for metric in Report([DataDriftPreset()]).run(dataset(window), dataset(reference)).dict()["metrics"]:
        config = metric.get("config", {})
        if "column" in config:
            is_p_value = "p_value" in config["method"]
            score, threshold = metric["value"], config["threshold"]
            if (score < threshold) if is_p_value else (score >= threshold):
                found.append(config["column"])
    return found


print(json.dumps([drifted(**pair) for pair in json.load(sys.stdin)]))
