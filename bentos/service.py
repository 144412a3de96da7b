"""The service of every release: reads rows by the schema of training, answers probabilities and decisions.

Everything about the project is inside the Bento: the booster, the compiled schema, the threshold. The HTTP part is an
ASGI application mounted under /v1, because BentoML's typed endpoints cost four times the time and log a traceback for
each bad request. Health and metrics (/livez, /readyz, /metrics) are BentoML's own.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import bentoml
from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MODEL = "model"  # the alias under which the Bento pins its model: a tag could be answered by another one
INLINE = 64  # rows up to which scoring blocks the event loop for less than a thread's hand-over costs
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

ROWS = Counter("penstock_rows", "Rows answered")
REFUSED = Counter("penstock_refused_requests", "Requests refused", ["reason"])
UNKNOWN = Counter("penstock_unknown_categories", "Values that training never saw, taken as missing", ["field"])


class Scorer:
    """The booster and how to read rows for it. Everything heavy is imported here, in the process that serves."""

    def __init__(self, folder: Path) -> None:
        import xgboost as xgb

        from penstock.rows import RowReader

        self.about: dict[str, Any] = json.loads((folder / "about.json").read_text())
        self.spec: dict[str, Any] = json.loads((folder / "schema.json").read_text())
        self.reader = RowReader(self.spec)
        self.booster = xgb.Booster(model_file=str(folder / "model.ubj"))
        self.booster.set_param({"nthread": 1})  # one row costs more to share among threads than to score
        if tuple(self.booster.feature_names or ()) != self.reader.names:
            raise ValueError("the booster's features are not those of the schema, or in another order")
        self.threshold = float(self.about["threshold"])

    def answer(self, rows: list[Any]) -> tuple[Any, Any, dict[str, int]]:
        """(probabilities float32 (n,), decisions bool (n,), unknown categories by field). Raises RowErrors."""
        encoded = self.reader.read(rows)
        scores = self.booster.inplace_predict(encoded.matrix, validate_features=False)
        return scores, scores >= self.threshold, encoded.unknown


class Refusal(Exception):
    """A request that cannot be answered, and why: becomes a 4xx."""

    def __init__(self, status: int, error: str, **facts: Any) -> None:
        super().__init__(error)
        self.status, self.error, self.facts = status, error, facts


state: dict[str, Scorer] = {}


async def predict(request: Request) -> Response:
    """One row (a JSON object) or many (a list of them)."""
    identity = _request_id(request)
    scorer = state["scorer"]
    try:
        rows = _rows(await _body(request, scorer.spec["max_body_bytes"]), scorer.spec["max_rows"])
        if len(rows) <= INLINE:
            scores, decisions, unknown = _checked(scorer, rows)
        else:
            scores, decisions, unknown = await run_in_threadpool(_checked, scorer, rows)
    except Refusal as refusal:
        REFUSED.labels(refusal.error).inc()
        return _json({"error": refusal.error, **refusal.facts, "request_id": identity}, refusal.status, identity)
    ROWS.inc(len(rows))
    for field, count in unknown.items():
        UNKNOWN.labels(field).inc(count)
    answer = {
        "model": scorer.about["bento"],
        "request_id": identity,
        "predictions": decisions,
        "probabilities": scores,
    }
    return _json(answer | ({"unknown_categories": unknown} if unknown else {}), 200, identity)


async def model(request: Request) -> Response:
    """What is serving: the release, its schema, its threshold and metrics."""
    scorer = state["scorer"]
    return _json({**scorer.about, "schema": scorer.spec}, 200, _request_id(request))


def _checked(scorer: Scorer, rows: list[Any]) -> tuple[Any, Any, dict[str, int]]:
    from penstock.rows import RowErrors

    try:
        return scorer.answer(rows)
    except RowErrors as errors:
        problems = [{"row": found.row, "field": found.field, "message": found.message} for found in errors.problems]
        raise Refusal(422, "invalid rows", problems=problems, total=errors.total) from None


async def _body(request: Request, limit: int) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "unsupported content type", found=kind[:100], allowed="application/json")
    if int(request.headers.get("content-length") or 0) > limit:
        raise Refusal(413, "body too large", allowed=f"{limit} bytes")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:  # a chunked body says no length beforehand
            raise Refusal(413, "body too large", allowed=f"{limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _rows(body: bytes, most: int) -> list[Any]:
    import orjson

    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, "malformed JSON", found=str(error)) from None
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list) or not found:
        raise Refusal(422, "no rows", allowed="an object of fields, or a list of such objects")
    if len(found) > most:
        raise Refusal(413, "too many rows", found=len(found), allowed=f"{most} rows")
    return found


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _json(content: Any, status: int, identity: str) -> Response:
    import orjson

    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, {"x-request-id": identity}, "application/json")


app = Starlette(routes=[Route("/predict", predict, methods=["POST"]), Route("/model", model)])


@bentoml.service(
    traffic={"timeout": 5, "max_concurrency": 64},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},  # its middleware makes five spans a request even when nobody collects them
    metrics={"duration": {"buckets": [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]}},
)
@bentoml.asgi_app(app, path="/v1")
class Model:
    """Loads the release, and answers one row before it says that it is ready."""

    def __init__(self) -> None:
        import numpy as np

        scorer = Scorer(Path(bentoml.models.get(MODEL).path))
        empty = np.full((1, len(scorer.reader.names)), np.nan, np.float32)
        scorer.booster.inplace_predict(empty, validate_features=False)
        state["scorer"] = scorer
