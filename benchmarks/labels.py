"""The label ledger's cost, and how often each rule for a drop of quality is wrong where nothing has changed.

    PYTHONPATH=. python benchmarks/labels.py

Made-up labels and scores, seeded; a temporary home. About a minute.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from penstock.alarms import performance_drop
from penstock.intervals import Measured, auc_interval
from penstock.label_config import LabelsConfig
from penstock.label_rows import given_labels
from penstock.retrain_config import RetrainConfig
from tasks.monitoring import label_store

LABELS, BATCHES = 1_000_000, 20
WINDOWS, AUC_AT = 400, 0.75  # windows a rule looks at; how far apart the classes' scores are, in standard deviations
CONFIG = LabelsConfig()


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"PENSTOCK_HOME": home, "PENSTOCK_ROOT": home}
        ledger(Path(home))
    print(f"\nWindows without a drop that raise an alarm ({WINDOWS} each; margin {RetrainConfig().margin})")
    print(f"  {'labelled rows':>13} {'possible':>9} {'sure':>9}")
    truth = drawn(2_000_000, 0).value
    for rows in (1000, 5000, 20_000, 100_000):
        found = [drawn(rows, seed) for seed in range(1, WINDOWS + 1)]
        rules = [RetrainConfig(drop=drop) for drop in ("possible", "sure")]
        shares = [
            np.mean([performance_drop("auc", one, truth, True, rule) is not None for one in found]) for rule in rules
        ]
        print(f"  {rows:>13,} " + " ".join(f"{share:>9.1%}" for share in shares))


def ledger(home: Path) -> None:
    draws = np.random.default_rng(7)
    keys = [draws.bytes(16) for _ in range(LABELS)]
    table = pl.DataFrame({"request_id": [key.hex() for key in keys], "late": draws.random(LABELS) < 0.2})
    took = []
    for part in table.iter_slices(LABELS // BATCHES):
        began = time.perf_counter()
        label_store.append("p", given_labels(part, CONFIG, "late", {}, "f"), CONFIG, "f")
        took.append(time.perf_counter() - began)
    print(f"{LABELS:,} labels in {BATCHES} batches: first {took[0]:.2f} s, last {took[-1]:.2f} s")
    began = time.perf_counter()
    rows = label_store.state("p", CONFIG.key).height
    print(f"read back: {rows:,} labels in {time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    whole = given_labels(table, CONFIG, "late", {}, "f")
    print(f"all of them again, as one export: {label_store.append('p', whole, CONFIG, 'f')}", end="")
    print(f", in {time.perf_counter() - began:.2f} s")
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    print(f"on disk: {size / 1e6:.1f} MB, most of it the keys: 32 random characters each")


def drawn(rows: int, seed: int) -> Measured:
    draws = np.random.default_rng(seed)
    label = draws.random(rows) < 0.2
    found = auc_interval(label, draws.normal(label * AUC_AT, 1))
    assert found is not None
    return found


if __name__ == "__main__":
    main()
