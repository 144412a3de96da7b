"""What a release says of itself is true: explanations add up, the OpenAPI document holds, the page is all its own."""

from __future__ import annotations

import html
import json
import re

import jsonschema
import numpy as np
import pytest

from bentos.docs_page import html as page
from bentos.openapi import document
from bentos.row_schema import row_schema
from penstock.config import FeaturesConfig, PackageConfig
from penstock.rows import RowErrors, RowReader
from penstock.schema import compile_spec, parse_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@pytest.fixture(scope="module")
def openapi(server) -> dict:
    return json.loads(server.call("GET", "/v1/openapi.json")[1])


def test_contributions_and_bias_add_up_to_the_margin(server, release):
    rows = [{**release.row, "size": float(size)} for size in range(0, 101, 5)]
    status, found = server.predict(rows, "explain")
    assert status == 200
    sums = [sum(parts.values()) + bias for parts, bias in zip(found["contributions"], found["bias"], strict=True)]
    np.testing.assert_allclose(sums, found["margins"], atol=1e-4)
    scores = server.predict(rows)[1]["probabilities"]
    np.testing.assert_allclose(1 / (1 + np.exp(-np.array(found["margins"]))), scores, atol=1e-6)
    assert set(found["contributions"][0]) == set(release.row)


def test_explanations_are_bounded(server, release):
    assert server.predict([release.row] * 1000, "explain")[0] == 200
    status, answer = server.predict([release.row] * 1001, "explain")
    assert (status, answer["error"]) == (413, "too many rows")


def test_the_model_says_what_it_is(server, release):
    facts = json.loads(server.call("GET", "/v1/model")[1])
    assert facts["purpose"] == "Shows that the whole works."
    assert facts["release"] == release.tag
    assert facts["labels"]["penstock.project"] == "tiny"
    assert facts["labels"]["penstock.dataset"]
    assert facts["metrics"]["auc"] > 0.5
    assert [column["name"] for column in facts["schema"]["columns"]] == ["color", "size", "seats", "wet"]
    assert set(facts["example"]) == {"color", "size", "seats", "wet"}


def test_the_document_is_whole(openapi):
    """Every reference leads somewhere, every schema is one, every operation has an id and documents its refusals."""
    assert openapi["openapi"].startswith("3.1")
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(openapi)):
        place = openapi
        for part in reference.split("/"):
            place = place[part]
    for schema in openapi["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    operations = [operation for path in openapi["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for name in ("predict", "explain"):
        responses = openapi["paths"][f"/v1/{name}"]["post"]["responses"]
        assert set(responses) >= {"200", "400", "401", "408", "413", "415", "422", "429", "500"}


def test_examples_of_the_document_are_right(openapi, server):
    content = openapi["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]
    row = jsonschema.Draft202012Validator(resolved(openapi, "Row"))
    for example in content["examples"].values():
        rows = example["value"] if isinstance(example["value"], list) else [example["value"]]
        for one in rows:
            row.validate(one)
        for route, schema in (("predict", "Predictions"), ("explain", "Explanations")):
            status, answer = server.predict(example["value"], route)
            assert status == 200
            jsonschema.Draft202012Validator(resolved(openapi, schema)).validate(answer)
    refusal = jsonschema.Draft202012Validator(resolved(openapi, "Refusal"))
    for operation in openapi["paths"]["/v1/predict"]["post"]["responses"].values():
        for example in operation["content"]["application/json"].get("examples", {}).values():
            refusal.validate(example["value"])
    refusal.validate(server.predict({})[1])
    refusal.validate(server.predict(b"{")[1])


def resolved(openapi: dict, name: str) -> dict:
    return {"$schema": DIALECT, "components": openapi["components"], **openapi["components"]["schemas"][name]}


def test_the_documents_schema_refuses_no_row_that_the_server_takes():
    text = """
columns:
  code: {dtype: String, nullable: true, str_matches: "^[A-Z]{2}$"}
  kind: {dtype: String, isin: [a, b, c]}
  word: {dtype: String, str_length: {min_value: 2}, notin: [never]}
  size: {dtype: Float32, in_range: {min_value: 0.5, max_value: 100, include_max: false}}
  seats: {dtype: Int16, nullable: true, gt: 0}
  wet: {dtype: Boolean}
  late: {dtype: Boolean}
"""
    features = FeaturesConfig(label="late", categorical=("code", "kind", "word"), numeric=("size", "seats", "wet"))
    known = {"code": ["AA"], "kind": ["a", "b"], "word": ["yes"]}
    package = PackageConfig(purpose="x", unknown_category="reject")
    spec = compile_spec(parse_schema(text, "s.yaml"), features, known, package)
    schema, reader = jsonschema.Draft202012Validator(row_schema(spec)), RowReader(spec)
    good = {"code": "AA", "kind": "a", "word": "yes", "size": 1.5, "seats": 3, "wet": True}
    values = {
        "code": ["AA", "BB", None, "aa", 3], "kind": ["a", "c", "d", None], "word": ["yes", "never", "y"],
        "size": [0.5, 0.25, 99.5, 100, "1", None], "seats": [1, 0, 32767, 32768, 1.5, None, 2.0],
        "wet": [True, 0, None], "late": [True, None], "other": [1],
    }  # fmt: skip
    for name, pool in values.items():
        for value in [*pool, ...]:
            row = {key: found for key, found in {**good, name: value}.items() if found is not ...}
            assert accepted(reader, row) == schema.is_valid(row), (name, value)


def accepted(reader: RowReader, row: dict) -> bool:
    try:
        reader.read([row])
    except RowErrors:
        return False
    return True


def test_the_page_needs_nothing_from_elsewhere_and_works_behind_a_prefix(server, release):
    status, body, headers = server.call("GET", "/v1/docs")
    text = body.decode()
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert not re.findall(r"""https?://|src=|@import|url\(|["'(]/""", text)
    assert 'value="predict"' in text
    example = html.unescape(re.search(r"<textarea[^>]*>(.*?)</textarea>", text, re.DOTALL)[1])
    assert server.predict(json.loads(example))[0] == 200


def test_the_page_escapes_everything(release):
    bad = "</textarea></script><script>alert(1)</script>\"'&"
    spec = {
        "format": 1, "ignored": [], "unknown_category": "missing", "max_rows": 9, "max_body_bytes": 9,
        "columns": [{"name": bad, "dtype": "String", "nullable": True, "checks": {"isin": [bad]}, "categories": [bad],
                     "description": bad}],
    }  # fmt: skip
    about = {**release.about, "project": bad, "purpose": bad, "intended_use": bad, "owner": bad, "example": {bad: bad}}
    text = page({**about, "metrics": {bad: bad}}, spec, bad)
    assert text.count("<script>") == 1
    assert "alert(1)</script>" not in text
    assert text.count("</textarea>") == 1
    json.dumps(document(about, spec, bad))
