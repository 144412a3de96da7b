"""The OpenAPI 3.1 document of a release, made from its compiled schema: the very checks that the server applies."""

from __future__ import annotations

from typing import Any

from bentos.answers import Answers, answers_of
from bentos.prediction import EXPLAINED
from bentos.row_schema import row_schema

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
ANSWER = {"model": {"type": "string"}, "request_id": {"type": "string"}}
PROBLEM = {"row": 0, "field": "FIELD", "message": "is required"}
REFUSALS: dict[int, tuple[str, list[dict[str, Any]]]] = {
    400: (
        "The body cannot be read.",
        [
            {"error": "malformed JSON", "found": "unexpected end of data: line 1 column 2 (char 1)"},
            {"error": "malformed Arrow stream", "found": "no message begins at byte 0: cut off, or not an IPC stream"},
        ],
    ),
    401: (
        "The server has an API key, and the request does not.",
        [{"error": "no valid API key", "allowed": "Authorization: Bearer KEY, or x-api-key: KEY"}],
    ),
    405: ("Another method than the route's.", [{"error": "method not allowed", "found": "PUT", "allowed": "POST"}]),
    408: ("The body did not arrive in time.", [{"error": "body too slow", "allowed": "5 seconds"}]),
    413: (
        "Too many rows, or too many bytes.",
        [
            {"error": "too many rows", "found": 10001, "allowed": "10000 rows"},
            {"error": "too many values", "found": "about 3000000", "allowed": "320000 values"},
            {"error": "body too large", "allowed": "8000000 bytes"},
        ],
    ),
    415: (
        "A content type that is not read.",
        [{"error": "unsupported content type", "found": "text/plain", "allowed": f"{JSON}, {ARROW}"}],
    ),
    422: (
        "Rows that the schema refuses. None of them is answered; the first 20 problems are listed.",
        [
            {"error": "invalid rows", "problems": [PROBLEM], "total": 1},
            {"error": "no rows", "allowed": "an object of fields, or a list of such objects"},
        ],
    ),
    429: ("Too many requests at once: try again.", [{"error": "too many requests", "allowed": "64 at once"}]),
    500: ("The model gave no finite number, or the server failed.", [{"error": "internal error"}]),
}


def document(about: dict[str, Any], spec: dict[str, Any], release: str) -> dict[str, Any]:
    """``about`` and ``spec``: of `bentos.scoring.Scorer`."""
    example, answers = about["example"], answers_of(about)
    facts = [about["purpose"], about["intended_use"], f"Owner: {about['owner']}" if about["owner"] else ""]
    posts = {
        "/v1/predict": _post("predict", answers.summary, "Prediction", "Predictions", spec["max_rows"], example),
        "/v1/explain": _post(
            "explain",
            f"What each feature adds to the {answers.margin} of each row",
            "Explanation",
            "Explanations",
            min(EXPLAINED, spec["max_rows"]),
            example,
        ),
    }
    gets = {
        "/v1/model": _get("model", "What serves: the release, its schema, metrics and lineage", JSON),
        "/v1/openapi.json": _get("openapi", "This document", JSON),
        "/v1/docs": _get("docs", "A page for people", "text/html"),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": about["project"],
            "version": release,
            "description": "\n\n".join(filter(None, facts)),
        },
        "servers": [{"url": ".."}],  # beside this document, also behind a gateway's prefix
        "paths": posts | gets,
        "components": {
            "schemas": {"Row": row_schema(spec), "Refusal": REFUSAL, **_answers(spec, answers)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }


REFUSAL = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "found": {"description": "What came."},
        "allowed": {"type": "string", "description": "What would have been right."},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": "integer", "minimum": 0, "description": "Counts from 0."},
                    "field": {"type": "string", "description": "Empty when the row itself is wrong."},
                    "message": {"type": "string"},
                },
                "required": ["row", "field", "message"],
            },
        },
        "total": {"type": "integer", "description": "How many problems there are in all."},
        **ANSWER,
    },
    "required": ["error", "request_id"],
}


def _answers(spec: dict[str, Any], answers: Answers) -> dict[str, Any]:
    def several(items: dict[str, Any]) -> dict[str, Any]:
        return {"type": "array", "items": items}

    number = {"type": "number"}
    names = spec["recipe"]["features"] if "recipe" in spec else [column["name"] for column in spec["columns"]]
    parts = {"type": "object", "properties": dict.fromkeys(names, number), "required": names}
    predictions = {name: several(items) for name, items in answers.schema().items()}
    explanations = {"contributions": several(parts), "bias": several(number), "margins": several(number)}
    unknown = {"type": "object", "additionalProperties": {"type": "integer"}}
    return {
        "Predictions": {
            "type": "object",
            "properties": ANSWER | predictions | {"unknown_categories": unknown},
            "required": [*ANSWER, *predictions],
        },
        "Explanations": {
            "type": "object",
            "properties": ANSWER | explanations,
            "required": [*ANSWER, *explanations],
        },
    }


def _post(name: str, summary: str, title: str, answer: str, most: int, example: dict[str, Any]) -> dict[str, Any]:
    row = {"$ref": "#/components/schemas/Row"}
    rows = {"oneOf": [row, {"type": "array", "items": row, "minItems": 1, "maxItems": most}]}
    arrow = {"schema": {"type": "string", "contentMediaType": ARROW}}
    answers: dict[str, Any] = {JSON: {"schema": {"$ref": f"#/components/schemas/{answer}"}}}
    if name == "predict":
        answers[ARROW] = arrow
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "description": f"{title} of one row, or of at most {most}. An Arrow IPC stream must not be compressed.",
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {
                        "schema": rows,
                        "examples": {"one row": {"value": example}, "two rows": {"value": [example, example]}},
                    },
                    ARROW: arrow,
                },
            },
            "responses": {
                "200": {"description": "One answer for each row, in their order.", "content": answers},
                **{str(status): _refusal(status) for status in REFUSALS},
            },
        }
    }


def _get(name: str, summary: str, kind: str) -> dict[str, Any]:
    found = {"description": summary + ".", "content": {kind: {}}}
    responses = {"200": found, "401": _refusal(401), "405": _refusal(405)}
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}


def _refusal(status: int) -> dict[str, Any]:
    words, bodies = REFUSALS[status]
    examples = {body["error"]: {"value": {**body, "request_id": "7f3a"}} for body in bodies}
    schema = {"$ref": "#/components/schemas/Refusal"}
    return {"description": words, "content": {JSON: {"schema": schema, "examples": examples}}}
