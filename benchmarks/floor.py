"""The floor: the work of the `train` flow as one straight script, with nothing of Penstock in it.

    python benchmarks/floor.py --data FOLDER --out FOLDER --serve-python PATH

Validates, splits by time, trains, evaluates, gates, profiles, packages, serves and compares, logs and reports, in one
process that imports a library when a step needs it and keeps the data in memory unless `--external` is given. What
Penstock takes beyond this is the price of its cache, lineage and ledger. Prints one line of JSON. MLflow's database
in --out is kept between runs, as a real script would keep it; everything else there is made anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

BEGAN = time.perf_counter()
os.environ |= {
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads that spin take the cores from those that work
    "PANDERA_VALIDATION_DEPTH": "SCHEMA_AND_DATA",  # of a LazyFrame pandera would check the types only
    "WHYLOGS_NO_ANALYTICS": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "DO_NOT_TRACK": "true",
}

import floor_release as release  # noqa: E402
import yaml  # noqa: E402
from floor_data import CONFIGS, NAMES, ROW, Run, categories, encode, split_by_time, validate  # noqa: E402

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xgboost as xgb

BINS = 15
SEED = 7
CHECKED = 200  # predictions compared with the server's


def train(run: Run, known: dict[str, list[str]]) -> tuple[bytes, dict[str, Any]]:
    """The model at its best iteration as UBJ, and its learning curve."""
    import numpy as np
    import xgboost as xgb

    class Rows(xgb.DataIter):
        def __init__(self, split: str, **cache: Any) -> None:
            self.split = split
            self.left: Iterator[pl.DataFrame] = iter(())
            super().__init__(release_data=True, **cache)

        def reset(self) -> None:
            self.left = run.batches(self.split, [*run.names, run.label])

        def next(self, input_data: Any) -> bool:
            batch = next(self.left, None)
            if batch is not None:
                input_data(data=encode(run, batch, known), label=batch[run.label].to_numpy().astype(np.float32))
            return batch is not None

    settings, threads = run.config["train"], len(os.sched_getaffinity(0))
    scratch = run.out / "cache"
    scratch.mkdir()
    matrix = xgb.ExtMemQuantileDMatrix if run.external else xgb.QuantileDMatrix
    cache = {name: {"cache_prefix": str(scratch / name)} if run.external else {} for name in NAMES}
    rows = matrix(Rows("train", **cache["train"]), enable_categorical=True, nthread=threads)
    held_out = matrix(Rows("validation", **cache["validation"]), ref=rows, enable_categorical=True, nthread=threads)
    history: dict[str, Any] = {}
    booster = xgb.train(
        {
            **settings["params"],
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "seed": SEED,
            "nthread": threads,
        },
        rows,
        num_boost_round=settings["rounds"],
        evals=[(rows, "train"), (held_out, "validation")],
        early_stopping_rounds=settings["early_stopping_rounds"],
        evals_result=history,
        verbose_eval=False,
    )
    del rows, held_out
    shutil.rmtree(scratch)
    losses = {name: history[name]["logloss"] for name in ("train", "validation")}
    return _cut(booster), {**losses, "best_iteration": booster.best_iteration}


def _cut(booster: xgb.Booster) -> bytes:
    """The trees up to the best one. XGBoost's slice loses the categories, so they are put back."""
    import xgboost as xgb

    cut = json.loads(bytes(booster[: booster.best_iteration + 1].save_raw("json")))
    whole = json.loads(bytes(booster.save_raw("json")))
    model, source = (tree["learner"]["gradient_booster"]["model"] for tree in (cut, whole))
    model["cats"] = source["cats"]
    return bytes(xgb.Booster(model_file=bytearray(json.dumps(cut).encode())).save_raw("ubj"))


def evaluate(run: Run, model: bytes, known: dict[str, list[str]]) -> dict[str, Any]:
    """Metrics of the test rows, whole and by slice, at the threshold of the validation rows; curves; predictions."""
    import numpy as np
    import polars as pl
    import xgboost as xgb
    from sklearn.metrics import precision_recall_curve, roc_curve

    booster = xgb.Booster(model_file=bytearray(model))
    booster.set_param({"nthread": len(os.sched_getaffinity(0))})

    def scored(split: str) -> pl.DataFrame:
        parts = []
        for frame in run.batches(split, list(dict.fromkeys([*run.names, run.label, *run.slices, ROW]))):
            score = booster.inplace_predict(encode(run, frame, known))
            extra = [pl.col(name).cast(pl.Categorical) for name in run.slices]
            parts.append(frame.select(ROW, *extra, label=run.label).with_columns(score=pl.Series(score)))
        return pl.concat(parts)

    chosen = scored("validation")
    precision, recall, thresholds = precision_recall_curve(chosen["label"], chosen["score"])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    threshold = float(thresholds[np.argmax(f1[:-1])])
    validation, test = measured(chosen, threshold), scored("test")
    slices = [
        {"column": column, "value": value, "metrics": measured(test.filter(pl.col(column) == value), threshold)}
        for column in run.slices
        for value in sorted(test[column].cast(pl.String).drop_nulls().unique())
    ]
    fpr, tpr, _ = roc_curve(test["label"], test["score"])
    precision, recall, _ = precision_recall_curve(test["label"], test["score"])
    test.select(ROW, "label", "score").write_parquet(run.out / "predictions.parquet")
    gain = booster.get_score(importance_type="total_gain")
    return {
        "threshold": threshold,
        "metrics": measured(test, threshold),
        "validation": validation,
        "slices": slices,
        "roc": _thin(fpr, tpr),
        "precision_recall": _thin(recall[::-1], precision[::-1]),
        "calibration": _calibration(test["label"].to_numpy(), test["score"].to_numpy())[:2],
        "importance": dict(sorted(gain.items(), key=lambda pair: -pair[1])),  # type: ignore[operator]
        "latency_ms": _latency(booster, encode(run, next(run.batches("test", run.names)).head(CHECKED), known)),
        "model_mb": len(model) / 1e6,
    }


def measured(rows: pl.DataFrame, threshold: float) -> dict[str, float]:
    import numpy as np
    from sklearn.metrics import average_precision_score, roc_auc_score

    label, score = rows["label"].to_numpy(), rows["score"].to_numpy()
    both, called = 0 < label.sum() < len(label), score >= threshold
    hits, wanted = int((called & label).sum()), int(label.sum())
    chance = np.clip(score.astype(np.float64), 1e-15, 1 - 1e-15)
    mean_score, rate, count = _calibration(label, score)
    return {
        "rows": len(label),
        "positives": wanted,
        "auc": float(roc_auc_score(label, score)) if both else float("nan"),
        "average_precision": float(average_precision_score(label, score)) if both else float("nan"),
        "log_loss": float(-np.mean(np.log(np.where(label, chance, 1 - chance)))),
        "brier": float(np.mean((chance - label) ** 2)),
        "accuracy": float(np.mean(called == label)),
        "precision": hits / max(int(called.sum()), 1),
        "recall": hits / max(wanted, 1),
        "f1": 2 * hits / max(int(called.sum()) + wanted, 1),
        "calibration_error": float(np.average(np.abs(np.subtract(mean_score, rate)), weights=count)),
    }


def _calibration(label: np.ndarray, score: np.ndarray) -> tuple[list[float], list[float], list[int]]:
    """Mean score, share of True and rows of bins of equal count."""
    import numpy as np

    bins = [part for part in np.array_split(np.argsort(score, kind="stable"), BINS) if len(part)]
    return [float(score[at].mean()) for at in bins], [float(label[at].mean()) for at in bins], [len(at) for at in bins]


def _thin(*columns: np.ndarray) -> list[list[float]]:
    import numpy as np

    keep = np.unique(np.linspace(0, len(columns[0]) - 1, 200).astype(int))
    return [column[keep].round(6).tolist() for column in columns]


def _latency(booster: xgb.Booster, rows: pl.DataFrame) -> float:
    """Median milliseconds of one row."""
    import numpy as np
    import polars as pl

    codes = rows.with_columns(pl.col(pl.Enum).to_physical()).cast(pl.Float32).to_numpy().astype(np.float32, order="C")
    times = []
    for row in codes:
        began = time.perf_counter()
        booster.inplace_predict(row.reshape(1, -1), validate_features=False)
        times.append((time.perf_counter() - began) * 1e3)
    return float(np.median(times))


def gate(config: dict[str, Any], found: dict[str, Any]) -> list[tuple[str, bool]]:
    """Each question in words, and whether the answer is good enough. There is no champion to compare with."""
    bounds, metrics = config["gate"], found["metrics"]
    rarer = min(metrics["positives"], metrics["rows"] - metrics["positives"])
    checks = [
        (f"{metrics['rows']} test rows", metrics["rows"] >= bounds["min_rows"]),
        (f"{rarer} of the rarer class", rarer >= 50),
        (f"model of {found['model_mb']:.2f} MB", found["model_mb"] <= bounds["max_model_mb"]),
        (f"one row in {found['latency_ms']:.3f} ms", found["latency_ms"] <= bounds["max_latency_ms"]),
    ]
    judged = [
        (f" on {part['column']}={part['value']}", bounds["slices"], part["metrics"])
        for part in found["slices"]
        if part["metrics"]["rows"] >= config["evaluate"]["min_slice_rows"]
    ]
    for where, rules, values in [("", bounds["metrics"], metrics), *judged]:
        for name, rule in rules.items():
            good = rule.get("min", -float("inf")) <= values[name] <= rule.get("max", float("inf"))
            checks.append((f"{name}{where}: {values[name]:.4f}", good))
    return checks


def sample(run: Run) -> tuple[list[dict[str, Any]], list[float]]:
    """Rows spread over the test split as a client sends them, and the scores that evaluation gave them."""
    import polars as pl

    scores = pl.scan_parquet(run.out / "predictions.parquet").select("score")
    rows = pl.concat([pl.scan_parquet(run.file("test")).select(run.names), scores], how="horizontal")
    step = max(1, rows.select(pl.len()).collect().item() // CHECKED)
    chosen = rows.gather_every(step).head(CHECKED).fill_nan(None).collect()
    return chosen.drop("score").to_dicts(), chosen["score"].to_list()


def prepare(run: Run, stage: str) -> None:
    """Remove from --out what an earlier run left there and this one makes anew."""
    run.out.mkdir(parents=True, exist_ok=True)
    for folder in ("bento", "bentoml", "cache", "context", "server"):
        shutil.rmtree(run.out / folder, ignore_errors=True)
    if stage == "all":
        for name in NAMES:
            run.file(name).unlink(missing_ok=True)
    elif not all(run.file(name).is_file() for name in NAMES):
        raise SystemExit(f"{run.out} has no splits: run with --stage all first")


def work(run: Run, everything: bool, python: Path | None) -> dict[str, Any]:
    """The steps in order. Without ``python`` nothing is packaged, logged or reported."""
    if everything:
        with run.step("validate"):
            bad = validate(run)
        with run.step("split"):
            split_by_time(run, bad)
    with run.step("train"):
        known = categories(run)
        model, history = train(run, known)
        (run.out / "model.ubj").write_bytes(model)
    with run.step("evaluate"):
        found = evaluate(run, model, known) | {"history": history}
        (run.out / "metrics.json").write_text(json.dumps(found, indent=1))
        checks = gate(run.config, found)
    if everything:
        with run.step("profile"):
            for name in NAMES:
                release.profiled(run.batches(name, [*run.names, run.label]), run.out / f"profile-{name}.bin")
    if not all(passed for _, passed in checks):
        raise SystemExit(f"rejected: {[text for text, passed in checks if not passed]}")
    name, package = run.config["name"], run.config["package"]
    if python:
        with run.step("package"):
            features = {name: known.get(name) for name in run.names}
            bento = release.packaged(run.out, model, features, package["purpose"])
        with run.step("server"):
            release.compare_with_server(bento, python, run.out / "server", *sample(run))
    if python and everything:
        with run.step("report"):
            (run.out / "report.html").write_text(release.report(name, found, checks))
        with run.step("mlflow"):
            files = [run.out / file for file in ("report.html", "metrics.json", "model.ubj")]
            release.logged_to_mlflow(run.out, name, run.config, found, files)
    rows = {name: _rows(run.file(name)) for name in NAMES}
    return {
        "metrics": {**found["metrics"], "trees": history["best_iteration"] + 1, "split_rows": rows},
        "model_sha256": hashlib.sha256(model).hexdigest(),
    }


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder of Parquet files, in the order of their names")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--serve-python", type=Path, help="interpreter of the serving environment")
    parser.add_argument("--stage", choices=("all", "from-train"), default="all", help="from-train: splits are in --out")
    parser.add_argument("--external", action="store_true", help="splits and training data stay in files")
    parser.add_argument("--no-package", action="store_true", help="no Bento, server, MLflow and report")
    given = parser.parse_args()
    if not given.no_package and not given.serve_python:
        parser.error("--serve-python is needed, or --no-package")
    config = yaml.safe_load((CONFIGS / "flights.yaml").read_text())
    run = Run(given.data.absolute(), given.out.absolute(), given.external, config)
    prepare(run, given.stage)
    result = work(run, given.stage == "all", None if given.no_package else given.serve_python.absolute())
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024
    facts = {"wall_s": round(time.perf_counter() - BEGAN, 3), "peak_mb": round(peak, 1), "steps": run.steps}
    print(json.dumps(facts | result))


if __name__ == "__main__":
    main()
