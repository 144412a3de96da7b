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
from tasks import store
from tasks.batches import raw_batches
from tasks.caching import task
from tasks.model_server import running_server, unpacked
from tasks.serving_env import serving_python

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

ALONE = 5  # rows that are also sent one by one: the service reads few rows and many rows by different code
TIMEOUT = 30


@task
def check_package(
    package_ref: Package, evaluation: Evaluation, splits: Splits, features: FeaturesConfig, package: PackageConfig
) -> InfraCheck:
    """Start the package, send rows of the test split, require the very float32 that evaluation computed.

    A bad request must get a 4xx. Raises PackagingError when any of it is not so.
    """
    rows, expected = _sample(evaluation, splits, features, package)
    bento = unpacked(package_ref)
    python = serving_python(bento / "src" / "requirements.txt")
    with running_server(bento, python) as server:
        predict = f"{server.address}/v1/predict"
        answered: list[float] = []
        for start in range(0, len(rows), package.max_rows):
            answered += _answer(predict, rows[start : start + package.max_rows])
        worst = _largest_difference(answered, expected)
        alone = [_answer(predict, row)[0] for row in rows[:ALONE]]
        worst = max(worst, _largest_difference(alone, expected[:ALONE]))
        if worst:
            raise PackagingError(
                "The packaged model does not answer what the trained model answers.",
                where=package_ref.tag,
                found=f"the largest difference over {len(rows)} rows is {worst:.3g}",
                allowed="none: the same float32",
                next_step="compare xgboost and xgboost-cpu in pyproject.toml and bentos/requirements.txt",
            )
        status, body = _post(predict, {**rows[0], "__no_such_field__": 1})
        if not 400 <= status < 500:
            raise PackagingError(
                "The packaged model accepts a row with a field that does not exist.",
                where=package_ref.tag,
                found=f"HTTP {status}: {body[:200]!r}",
                allowed="a 4xx",
            )
        return InfraCheck(
            rows=len(rows), max_difference=worst, ready_seconds=round(server.ready_seconds, 2), rejected_status=status
        )


def example_row(splits: Splits, features: FeaturesConfig) -> dict[str, Any]:
    """A row of the test split as a client would send it."""
    return json_rows(_test_rows(splits, features, 1).drop("__row__"))[0]


def json_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON objects: a missing value is null, a float32 the shortest number that stands for it."""
    import numpy as np
    import polars as pl

    single = {name for name, kind in frame.schema.items() if kind == pl.Float32}

    def plain(name: str, value: Any) -> Any:
        if isinstance(value, float) and math.isnan(value):
            return None
        return float(str(np.float32(value))) if name in single and value is not None else value

    return [{name: plain(name, value) for name, value in row.items()} for row in frame.to_dicts()]


def _sample(
    evaluation: Evaluation, splits: Splits, features: FeaturesConfig, package: PackageConfig
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows spread over the test split, and the scores that evaluation gave them, float32 (n,)."""
    import polars as pl

    frame = _test_rows(splits, features, package.check_rows)
    if package.unknown_category == "reject":  # the server is right to refuse what training did not see
        known = store.read_json(splits.categories)
        frame = frame.filter(
            pl.all_horizontal(
                pl.col(name).is_null() | pl.col(name).cast(pl.String).is_in(values) for name, values in known.items()
            )
        )
    scored = pl.scan_parquet(store.locate(evaluation.predictions)).select("__row__", "score")
    mine = frame.lazy().select("__row__").join(scored, on="__row__", how="left", maintain_order="left").collect()
    return json_rows(frame.drop("__row__")), mine["score"].to_numpy()


def _test_rows(splits: Splits, features: FeaturesConfig, count: int) -> pl.DataFrame:
    """Every so many rows of the test split, at most ``count``, read batch by batch."""
    import polars as pl

    step = max(1, splits.rows[2] // count)
    position = 0
    chosen = []
    for frame in raw_batches(store.locate(splits.test), ["__row__", *features.names]):
        chosen.append(frame.gather_every(step, -position % step))
        position += len(frame)
    return pl.concat(chosen).head(count)


def _answer(address: str, rows: Any) -> list[float]:
    status, body = _post(address, rows)
    if status != 200:
        raise PackagingError(
            "The packaged model refuses rows of the test split.",
            where=address,
            found=f"HTTP {status}: {body[:300].decode(errors='replace')}",
            next_step="compare the schema with the data: the rows passed validation in training",
        )
    found: list[float] = json.loads(body)["probabilities"]
    return found


def _post(address: str, content: Any) -> tuple[int, bytes]:
    request = urllib.request.Request(  # noqa: S310  # the address is ours
        address, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        raise PackagingError("The packaged model stopped answering.", where=address, found=str(error)) from error


def _largest_difference(answered: list[float], expected: np.ndarray) -> float:
    """In float32: what a client that keeps the service's type sees. An answer too few is infinitely wrong."""
    import numpy as np

    if len(answered) != len(expected) or not np.isfinite(expected).all():
        return math.inf
    return float(np.abs(np.array(answered, np.float32) - expected.astype(np.float32)).max(initial=0.0))
