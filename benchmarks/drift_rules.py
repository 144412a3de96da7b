"""The rules that `benchmarks/drift.py` compares: each says which columns of a window have drifted from a reference."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import polars as pl
from uv import find_uv_bin

from penstock.monitor_config import MonitorConfig
from penstock.window import Reference, Window, judge
from tasks.data.whylogs_profile import profile
from tasks.monitoring.summaries import summaries, window_profile

CONFIG = MonitorConfig()
PEER = ("evidently==0.7.23", "pandas<3", "pyarrow")

Found = set[str]  # the columns that a rule calls drifted
Rule = Callable[[pl.DataFrame], Found]


class Job(NamedTuple):
    """A window for Evidently. ``reference``: which of the references it is compared with."""

    shift: str
    size: int
    reference: str
    rows: pl.DataFrame


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


def evidently(references: dict[str, pl.DataFrame], jobs: Iterable[Job]) -> dict[tuple[str, int], list[Found]]:
    """What Evidently's default calls drifted, by shift and size; nothing, and said so, where it cannot be run."""
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder) / "environment" / "bin" / "python")
        install = [find_uv_bin(), "pip", "install", "--quiet", "--no-config", "--compile-bytecode", "--python", python]
        for command in (
            [find_uv_bin(), "venv", "--quiet", "--python", sys.executable, f"{folder}/environment"],
            [*install, *PEER],
        ):
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                print(f"  evidently was not run: it could not be installed ({done.stderr.strip()[-200:]})")
                return {}
        for name, rows in references.items():
            rows.write_parquet(f"{folder}/{name}.parquet")
        asked, kinds = [], []
        for number, job in enumerate(jobs):
            job.rows.write_parquet(f"{folder}/{number}.parquet")
            asked.append({"reference": f"{folder}/{job.reference}.parquet", "window": f"{folder}/{number}.parquet"})
            kinds.append((job.shift, job.size))
        script = str(Path(__file__).with_name("drift_evidently.py"))
        done = subprocess.run([python, script], input=json.dumps(asked), capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"  evidently was not run: it failed ({done.stderr.strip()[-300:]})")
        return {}
    found: dict[tuple[str, int], list[Found]] = {}
    for kind, columns in zip(kinds, json.loads(done.stdout.splitlines()[-1]), strict=True):
        found.setdefault(kind, []).append(set(columns))
    return found
