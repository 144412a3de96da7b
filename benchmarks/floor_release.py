"""What the floor makes of data and a model: profiles, a Bento in a compared server, a run in MLflow, a report."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

HERE = Path(__file__).parent


def profiled(batches: Iterable[pl.DataFrame], target: Path) -> None:
    """A standard whylogs profile of all batches, filled from polars: `why.log` takes ten times as long."""
    import numpy as np

    if not hasattr(np, "unicode_"):
        np.unicode_ = np.str_  # type: ignore[attr-defined]  # whylogs 1.6.4 asks for a name that NumPy 2 has not
    from whylogs.core.view.dataset_profile_view import DatasetProfileView

    total: Any = None
    for rows in batches:
        now = datetime.now(UTC)
        columns = {name: _column(rows[name]) for name in rows.columns}
        part = DatasetProfileView(columns=columns, dataset_timestamp=now, creation_timestamp=now)
        total = part if total is None else total.merge(part)
    target.write_bytes(total.serialize())


def _column(values: pl.Series) -> Any:
    """Counts, types, distribution, cardinality and frequent items of numbers, booleans and text."""
    import numpy as np
    import polars as pl
    from whylogs.core.metrics import metrics
    from whylogs.core.metrics.column_metrics import ColumnCountsMetric, TypeCountersMetric
    from whylogs.core.metrics.metric_components import IntegralComponent as Number
    from whylogs.core.view.column_profile_view import ColumnProfileView

    rows, kind = len(values), values.dtype
    values = (values.fill_nan(None) if kind.is_float() else values).drop_nulls()
    spread, distinct = metrics.DistributionMetric.zero(), metrics.CardinalityMetric.zero()
    kinds = dict.fromkeys(("integral", "fractional", "boolean", "string", "object", "tensor"), 0)
    named = "string" if kind == pl.String else "boolean" if kind == pl.Boolean else "fractional"
    named = "integral" if kind.is_integer() else named
    kinds[named] = len(values)
    found: dict[str, Any] = {"distribution": spread, "cardinality": distinct}
    infinite = 0
    if kind != pl.String:
        numbers = values.cast(pl.Float64).to_numpy()
        finite = numbers[np.isfinite(numbers)]
        infinite = len(numbers) - len(finite)
        if len(finite):
            spread.kll.value.update(np.ascontiguousarray(finite))
            spread.mean.set(float(finite.mean()))
            spread.m2.set(float(finite.var() * len(finite)))
        distinct.hll.value.update_np(numbers if kind.is_float() else values.cast(pl.Int64).to_numpy())
    if not kind.is_float():
        items = found["frequent_items"] = metrics.FrequentItemsMetric.zero()
        counted = values.alias("value").value_counts()
        for value, count in counted.iter_rows():
            items.frequent_strings.value.update(str(value)[:128], count)
        if kind == pl.String:
            distinct.hll.value.update_str_list(counted["value"].to_list())
    true = int(values.sum() or 0) if kind == pl.Boolean else 0
    counts = {"n": rows, "null": rows - len(values), "nan": 0, "inf": infinite, "true": true}
    found["counts"] = ColumnCountsMetric(**{name: Number(count) for name, count in counts.items()})
    found["types"] = TypeCountersMetric(**{name: Number(count) for name, count in kinds.items()})
    return ColumnProfileView(metrics=found, success_count=rows, failure_count=0)


def packaged(out: Path, model: bytes, features: dict[str, list[str] | None], purpose: str) -> Path:
    """Build the Bento in this process, export it as bento.tar, and return the folder it was unpacked to."""
    os.environ["BENTOML_HOME"] = str(out / "bentoml")  # read when bentoml is imported
    (out / "bentoml").mkdir()
    import bentoml

    context = out / "context"
    context.mkdir()
    shutil.copyfile(HERE / "floor_service.py", context / "floor_service.py")
    pinned = [f"{name}=={version(name)}" for name in ("bentoml", "numpy")] + [f"xgboost-cpu=={version('xgboost')}"]
    with bentoml.models.create("floor") as stored:
        Path(stored.path_of("model.ubj")).write_bytes(model)
        Path(stored.path_of("features.json")).write_text(json.dumps(features))
    bento = bentoml.build(
        service="floor_service:Floor",
        build_ctx=str(context),
        description=purpose,
        models=[{"tag": str(stored.tag), "alias": "model"}],
        python={"packages": pinned, "lock_packages": False},  # locking would ask the network
    )
    bentoml.export_bento(bento.tag, str(out / "bento.tar"), "tar")
    with tarfile.open(out / "bento.tar") as archive:
        archive.extractall(out / "bento", filter="data")
    return out / "bento"


def compare_with_server(bento: Path, python: Path, state: Path, rows: list[dict[str, Any]], scores: list[float]) -> int:
    """Serve the Bento on a free loopback port and require the very same float32. Returns how many were compared."""
    (state / "metrics").mkdir(parents=True)
    environment = {
        name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "OMP_WAIT_POLICY") if name in os.environ
    }
    environment |= {
        "HOME": str(state),
        "BENTOML_HOME": str(state / "bentoml"),
        "PROMETHEUS_MULTIPROC_DIR": str(state / "metrics"),
        "BENTOML_DO_NOT_TRACK": "true",
        "DO_NOT_TRACK": "true",
    }
    command = [str(python), "-I", str(bento / "src" / "floor_service.py"), str(bento)]
    with socket.create_server(("127.0.0.1", 0)) as listener, (state / "server.log").open("wb") as log:
        port = listener.getsockname()[1]
        server = subprocess.Popen(command, stdin=listener, stdout=log, stderr=log, cwd=state, env=environment)
    try:
        # the socket listens already: the connection waits until the server takes it, or is reset if the server dies
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        _answer(connection, "GET", "/readyz")
        answered = json.loads(_answer(connection, "POST", "/predict", json.dumps({"rows": rows})))
        connection.close()
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    if answered != scores:
        raise SystemExit("the packaged model does not answer what the trained model answers")
    return len(answered)


def _answer(connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> bytes:
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    except OSError as error:
        raise SystemExit(f"the server does not answer: {error}; see server/server.log") from error
    if answer.status != 200:
        raise SystemExit(f"{path}: HTTP {answer.status}: {content[:300]!r}")
    return content


def logged_to_mlflow(out: Path, name: str, config: dict[str, Any], found: dict[str, Any], files: list[Path]) -> None:
    """One run with parameters, metrics, learning curve and files, and a registered version of the model."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException

    uri = f"sqlite:///{out / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    known = client.get_experiment_by_name(name)
    place = (out / "mlflow").as_uri()
    experiment = known.experiment_id if known else client.create_experiment(name, artifact_location=place)
    run = str(client.create_run(experiment).info.run_id)
    metrics = [Metric(key, value, 0, 0) for key, value in found["metrics"].items()]
    metrics += [Metric(f"validation_{key}", value, 0, 0) for key, value in found["validation"].items()]
    metrics += [
        Metric(f"loss_{part}", value, 0, at)
        for part in ("train", "validation")
        for at, value in enumerate(found["history"][part])
    ]
    flat = {**config["train"]["params"], **config["train"], **config["split"]}
    params = [Param(key, str(value)) for key, value in flat.items() if key != "params"]
    client.log_batch(run, metrics=metrics[:900], params=params)
    if metrics[900:]:
        client.log_batch(run, metrics=metrics[900:])
    for path in files:
        client.log_artifact(run, str(path))
    client.set_terminated(run)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(name, f"{client.get_run(run).info.artifact_uri}/model.ubj", run)
    client.set_registered_model_alias(name, "blessed", made.version)


def report(name: str, found: dict[str, Any], checks: list[tuple[str, bool]]) -> str:
    """One HTML page that needs nothing beside itself."""
    history, calibration = found["history"], found["calibration"]
    top = max(map(max, calibration))
    low, high = min(history["train"]), max(history["validation"])
    losses = [
        [(at / len(values), (value - low) / (high - low)) for at, value in enumerate(values)]
        for values in (history["train"], history["validation"])
    ]
    charts = {
        "ROC": [list(zip(*found["roc"], strict=True))],
        "Precision over recall": [list(zip(*found["precision_recall"], strict=True))],
        "Share of positives over mean score": [[(x / top, y / top) for x, y in zip(*calibration, strict=True)]],
        f"Log loss of training and validation, {low:.4f} .. {high:.4f}": losses,
    }
    slices = [
        [f"{part['column']}={part['value']}", part["metrics"]["rows"], part["metrics"]["auc"]]
        for part in found["slices"]
    ]
    both = [[key, value, found["validation"][key]] for key, value in found["metrics"].items()]
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{escape(name)}</title><h1>{escape(name)}</h1>",
        _table("Gate", [[text, "passed" if passed else "FAILED"] for text, passed in checks]),
        _table("Metrics on the test and the validation rows", both),
        *(f"<h2>{escape(title)}</h2>{_svg(lines)}" for title, lines in charts.items()),
        _table("AUC by slice", slices),
        _table("Gain", [[key, value] for key, value in found["importance"].items()]),
    ]
    return "\n".join(parts)


def _table(title: str, rows: list[list[Any]]) -> str:
    def cell(value: Any) -> str:
        return f"<td>{escape(f'{value:.6g}' if isinstance(value, float) else str(value))}</td>"

    lines = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><table>{lines}</table>"


def _svg(lines: list[list[tuple[float, float]]]) -> str:
    """Curves of points within 0 .. 1."""
    drawn = []
    for points, colour in zip(lines, ("steelblue", "darkorange"), strict=False):
        places = " ".join(f"{10 + 300 * x:.1f},{210 - 200 * y:.1f}" for x, y in points)
        drawn.append(f'<polyline points="{places}" fill="none" stroke="{colour}"/>')
    frame = '<rect x="10" y="10" width="300" height="200" fill="none" stroke="grey"/>'
    return f'<svg width="320" height="220">{frame}{"".join(drawn)}</svg>'
