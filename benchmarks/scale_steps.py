"""One path of `benchmarks.scale`, in this process: the steps of `train` up to the gates. Prints one line of JSON.

    python -m benchmarks.scale_steps PATH VERSION

The tasks are called one after another, without Prefect and without what is remembered; `train` itself profiles and
measures features while it trains. The champion that the model is compared with is the model itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.scale_cluster import cluster
from benchmarks.scale_meter import Meter, pinned

PROCESSORS = 2
BUDGETS = {"in memory": 10**9, "external": 0}  # MB; of the other paths what the project has, the default


def main(path: str, version: str) -> None:
    pinned(PROCESSORS)
    meter = Meter()
    with contextlib.ExitStack() as stack:
        if path == "dask":
            with meter.step("cluster"):
                stack.enter_context(cluster(Path(os.environ["PENSTOCK_HOME"]) / "dask"))
        facts = measured(meter, path, version)
    print(json.dumps({"steps": meter.steps, **facts}))


def measured(meter: Meter, path: str, version: str) -> dict[str, Any]:
    """What came out; what each step took is with the meter."""
    with meter.step("start"):
        from penstock.model import needs_external_memory
        from tasks.data.data import resolve_dataset
        from tasks.data.profiling import profile_splits
        from tasks.data.project import load_project, schema_text
        from tasks.data.validation import validate_dataset
        from tasks.machine.steps import observed
        from tasks.training.evaluation import evaluate_model
        from tasks.training.gating import gate_candidate
        from tasks.training.leaking import measure_features
        from tasks.training.pairing import compare_with_champion
        from tasks.training.splitting import split_dataset
        from tasks.training.training import train_model

        project = load_project("scale")
        schema, target = schema_text(project), project.train.target
        train = project.train
        if path in BUDGETS:
            train = train.model_copy(update={"memory_budget_mb": BUDGETS[path]})
    features = project.features
    with meter.step("look up"), observed("look up"):
        dataset = resolve_dataset(project.data, version)
    with meter.step("validate"), observed("validate"):
        checked = validate_dataset(dataset, schema, project.data)
    with meter.step("split"), observed("split"):
        splits = split_dataset(dataset, checked, features, project.split, project.evaluate, project.train.task)
    with meter.step("features alone"), observed("features alone"):
        alone = measure_features(splits, features, target.task)
    with meter.step("profile"), observed("profile"):
        profile_splits(splits, features)
    with meter.step("train"), observed("train"):
        model = train_model(splits, features, train)
    with meter.step("evaluate"), observed("evaluate"):
        evaluation = evaluate_model(splits, model, features, project.evaluate, target)
    with meter.step("compare"), observed("compare"):
        compare_with_champion(splits, evaluation, evaluation, project.gate, project.evaluate)
    with meter.step("gate"), observed("gate"):
        decision = gate_candidate(
            evaluation, None, None, None, project.gate, project.evaluate, {}, None, None, alone, None
        )
    external = needs_external_memory(splits.rows[0], len(features.names), train)
    return {
        "matrix": "ExtMemQuantileDMatrix" if external else "QuantileDMatrix",
        "trees": model.trees,
        "rounds": model.rounds,
        "model": model.booster.sha256,
        "passed": decision.passed,
        "split_rows": list(splits.rows),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
