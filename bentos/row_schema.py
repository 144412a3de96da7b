"""JSON Schema of a row, made from a release's compiled schema."""

from __future__ import annotations

from typing import Any

from penstock.fields import FLOAT32, FLOATS, INTEGERS

TIMES = {"Date": "date", "Datetime": "date-time"}
KNOWN_SHOWN = 50  # categories that a description names
BOUNDS = {
    "greater_than_or_equal_to": "minimum",
    "greater_than": "exclusiveMinimum",
    "less_than_or_equal_to": "maximum",
    "less_than": "exclusiveMaximum",
}


def row_schema(spec: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of one row. A row that it refuses, the server refuses; it cannot say how a float32 rounds."""
    reject = spec["unknown_category"] == "reject"
    fields = {column["name"]: _field(column, reject) for column in spec["columns"]}
    ignored = {name: {"description": "Accepted and ignored."} for name in spec["ignored"]}
    return {
        "type": "object",
        "properties": fields | ignored,
        "required": [column["name"] for column in spec["columns"] if not column["nullable"]],
        "additionalProperties": False,
    }


def _field(column: dict[str, Any], reject: bool) -> dict[str, Any]:
    checks: dict[str, Any] = column["checks"]
    schema: dict[str, Any] = {"type": "boolean" if column["dtype"] == "Boolean" else "string"}
    if column["dtype"] in TIMES:
        schema |= {"format": TIMES[column["dtype"]]}
    if column["dtype"] in INTEGERS or column["dtype"] in FLOATS:
        whole = column["dtype"] in INTEGERS
        low, high = INTEGERS[column["dtype"]] if whole else (-FLOAT32, FLOAT32)
        schema = {"type": "integer" if whole else "number", "minimum": low, "maximum": high}
    if "in_range" in checks:
        part = checks["in_range"]
        schema["minimum" if part["include_min"] else "exclusiveMinimum"] = part["min_value"]
        schema["maximum" if part["include_max"] else "exclusiveMaximum"] = part["max_value"]
    schema |= {BOUNDS[name]: checks[name] for name in BOUNDS if name in checks}
    if "str_matches" in checks:
        schema["pattern"] = checks["str_matches"]
    length = checks.get("str_length", {})
    schema |= {
        word: length[name]
        for name, word in (("min_value", "minLength"), ("max_value", "maxLength"))
        if length.get(name) is not None
    }
    known = column["categories"]
    allowed = checks.get("isin")
    if known is not None and reject:
        allowed = [value for value in known if allowed is None or value in allowed]
    if allowed is not None:
        schema["enum"] = [*allowed, *([None] if column["nullable"] else [])]
    if checks.get("notin"):
        schema["not"] = {"enum": checks["notin"]}
    if column["nullable"]:
        schema["type"] = [schema["type"], "null"]
    words = [column["description"]]
    if known is not None and not reject:
        shown = ", ".join(known[:KNOWN_SHOWN]) + (", ..." if len(known) > KNOWN_SHOWN else "")
        words.append(f"Training saw: {shown}. Any other value counts as missing.")
    return schema | ({"description": " ".join(filter(None, words))} if any(words) else {})
