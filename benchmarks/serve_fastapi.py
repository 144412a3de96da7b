"""The same model behind FastAPI, written as well as one can: `python serve_fastapi.py MODEL_FOLDER PORT`.

A pydantic model made of the same compiled schema, strict, validated from the body's bytes without a detour; the same
float32 encoding, the booster in place with one thread, orjson, uvicorn with uvloop and httptools.
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import orjson
import uvicorn
import xgboost as xgb
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

INLINE = 64
BOUNDS = {
    "greater_than_or_equal_to": "ge",
    "greater_than": "gt",
    "less_than_or_equal_to": "le",
    "less_than": "lt",
}


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def row_model(spec: dict[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = dict.fromkeys(spec["ignored"], (Any, None))
    for column in spec["columns"]:
        checks, limits = column["checks"], {}
        kind: Any = str
        if column["categories"] is None:
            kind = bool if column["dtype"] == "Boolean" else float if column["dtype"].startswith("Float") else int
            limits = {BOUNDS[name]: value for name, value in checks.items() if name in BOUNDS}
            if "in_range" in checks:
                part = checks["in_range"]
                limits["ge" if part["include_min"] else "gt"] = part["min_value"]
                limits["le" if part["include_max"] else "lt"] = part["max_value"]
            if kind is float:
                limits["allow_inf_nan"] = False
        elif "isin" in checks:
            kind = Literal[tuple(checks["isin"])]
        elif "str_matches" in checks:
            limits["pattern"] = checks["str_matches"]
        kind = Annotated[kind, Field(**limits)]
        fields[column["name"]] = (kind | None, None) if column["nullable"] else (kind, ...)
    return create_model("FlightRow", __base__=Row, **fields)


def application(folder: Path) -> FastAPI:
    spec = json.loads((folder / "schema.json").read_text())
    about = json.loads((folder / "about.json").read_text())
    booster = xgb.Booster(model_file=str(folder / "model.ubj"))
    booster.set_param({"nthread": 1})
    kind = row_model(spec)
    one = TypeAdapter(kind).validator
    many = TypeAdapter(Annotated[list[kind], Field(min_length=1, max_length=spec["max_rows"])]).validator
    plan = [
        (
            column["name"],
            column["categories"] and {value: float(code) for code, value in enumerate(column["categories"])},
        )
        for column in spec["columns"]
    ]
    nan, threshold, model = float("nan"), about["threshold"], about["bento"]

    def encode(rows: list[dict[str, Any]]) -> np.ndarray:
        matrix = np.empty((len(rows), len(plan)), np.float32)
        for number, (name, codes) in enumerate(plan):
            if codes:
                matrix[:, number] = [codes.get(row[name], nan) for row in rows]
            else:
                matrix[:, number] = [row[name] for row in rows]
        return matrix

    def score(rows: list[Any]) -> np.ndarray:
        return booster.inplace_predict(encode([row.__dict__ for row in rows]), validate_features=False)

    app = FastAPI()

    @app.post("/v1/predict")
    async def predict(request: Request) -> Response:
        body = await request.body()
        try:
            rows = many.validate_json(body) if body[:1] == b"[" else [one.validate_json(body)]
        except ValidationError as error:
            return Response(error.json(include_url=False), 422, media_type="application/json")
        scores = score(rows) if len(rows) <= INLINE else await run_in_threadpool(score, rows)
        identity = request.headers.get("x-request-id") or uuid.uuid4().hex
        answer = {"model": model, "request_id": identity, "predictions": scores >= threshold, "probabilities": scores}
        content = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(content, headers={"x-request-id": identity}, media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(
        application(Path(sys.argv[1])), port=int(sys.argv[2]), access_log=False, log_level="warning", loop="uvloop",
        http="httptools",
    )  # fmt: skip
