"""Infra validation: a package may become a release only after a real server of it answered what training computed."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from penstock.config import FeaturesConfig, PackageConfig
from penstock.errors import PackagingError
from penstock.refs import Evaluation, InfraCheck, Package, Splits
from tasks.packaging.model_server import api_key, running_server, unpacked
from tasks.packaging.serving_env import serving_python
from tasks.store import store
from tasks.store.caching import task
from tasks.training.samples import json_rows, known_rows, sample_rows

if TYPE_CHECKING:
    import numpy as np

ALONE = 5  # rows that are also sent one by one: the service reads few rows and many rows by different code
TIMEOUT = 30
SCORES = ("score", "probabilities", "prediction")  # of the predictions file, as the task type is


@task
def check_package(
    package_ref: Package, evaluation: Evaluation, splits: Splits, features: FeaturesConfig, package: PackageConfig
) -> InfraCheck:
    """Start the package, send rows of the test split, require the very float32 that evaluation computed.

    A bad request must get a 4xx. Raises PackagingError when any of it is not so.
    """
    bento = unpacked(package_ref)
    python = serving_python(bento / "src" / "requirements.txt")
    with running_server(bento, python) as server:
        predict = f"{server.address}/v1/predict"
        rows = require_exact(predict, evaluation, splits, features, package)
        status, body = _post(predict, {**rows[0], "__no_such_field__": 1})
        if not 400 <= status < 500:
            raise PackagingError(
                "The packaged model accepts a row with a field that does not exist.",
                where=package_ref.tag,
                found=f"HTTP {status}: {body[:200]!r}",
                allowed="a 4xx",
            )
        return InfraCheck(
            rows=len(rows), max_difference=0.0, ready_seconds=round(server.ready_seconds, 2), rejected_status=status
        )


def require_exact(
    address: str, evaluation: Evaluation, splits: Splits, features: FeaturesConfig, package: PackageConfig
) -> list[dict[str, Any]]:
    """The rows of the test split to which the server at ``address`` gave the very float32 that evaluation computed.

    Raises PackagingError if an answer is another one, or none.
    """
    rows, expected = _sample(evaluation, splits, features, package)
    answered: list[Any] = []
    for start in range(0, len(rows), package.max_rows):
        answered += _answer(address, rows[start : start + package.max_rows])
    worst = _largest_difference(answered, expected)
    alone = [_answer(address, row)[0] for row in rows[:ALONE]]
    worst = max(worst, _largest_difference(alone, expected[:ALONE]))
    if worst:
        raise PackagingError(
            "The packaged model does not answer what the trained model answers.",
            where=address,
            found=f"the largest difference over {len(rows)} rows is {worst:.3g}",
            allowed="none: the same float32",
            next_step="compare xgboost and xgboost-cpu in pyproject.toml and bentos/requirements.txt",
        )
    return rows


def _sample(
    evaluation: Evaluation, splits: Splits, features: FeaturesConfig, package: PackageConfig
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows spread over the test split, and the scores that evaluation gave them, float32 (n,) or (n, classes)."""
    import polars as pl

    frame = sample_rows(splits, features, package.check_rows)
    if package.unknown_category == "reject":
        frame = known_rows(frame, splits, features)
    found = pl.scan_parquet(store.locate(evaluation.predictions))
    score = next(name for name in SCORES if name in found.collect_schema())
    scored = found.select("__row__", score)
    mine = frame.lazy().select("__row__").join(scored, on="__row__", how="left", maintain_order="left").collect()
    return json_rows(frame.drop("__row__")), mine[score].to_numpy()


def _answer(address: str, rows: Any) -> list[Any]:
    """For each row its probability, those of all classes in their order, or the number that is predicted."""
    status, body = _post(address, rows)
    if status != 200:
        raise PackagingError(
            "The packaged model refuses rows of the test split.",
            where=address,
            found=f"HTTP {status}: {body[:300].decode(errors='replace')}",
            next_step="compare the schema with the data: the rows passed validation in training",
        )
    said = json.loads(body)
    found: list[Any] = said.get("probabilities", said["predictions"])
    return [list(one.values()) if isinstance(one, dict) else one for one in found]


def _post(address: str, content: Any) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json", "x-penstock-replay": "1", **api_key()}
    request = urllib.request.Request(  # noqa: S310  # the address is ours
        address, json.dumps(content).encode(), headers, method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        raise PackagingError("The packaged model stopped answering.", where=address, found=str(error)) from error


def _largest_difference(answered: list[Any], expected: np.ndarray) -> float:
    """In float32: what a client that keeps the service's type sees. An answer too few is infinitely wrong."""
    import numpy as np

    if len(answered) != len(expected) or not np.isfinite(expected).all():
        return math.inf
    return float(np.abs(np.array(answered, np.float32) - expected.astype(np.float32)).max(initial=0.0))
