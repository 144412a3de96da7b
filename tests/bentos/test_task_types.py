"""The service of a multiclass and of a regression model: the same routes, and answers that are right for the task."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator

from tests.bentos.conftest import ARROW, packaged_tiny, serving
from tests.waiting import until


@pytest.fixture(scope="module", params=["multiclass", "regression"])
def made(request, once, environments, template):
    return request.param, *packaged_tiny(once, environments, template, request.param)


@pytest.fixture(scope="module")
def task(made):
    return made[0]


@pytest.fixture(scope="module")
def server(made, tmp_path_factory):
    state = tmp_path_factory.mktemp("typed")
    with serving(made[1], state, PENSTOCK_LOG_DIR=str(state / "log")) as running:
        yield running
    assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def rows(made):
    return [{**made[1].row, "size": float(number), "color": "red"} for number in range(0, 100, 5)]


def test_every_row_has_its_prediction(server, task, rows):
    status, found = server.predict(rows)
    assert status == 200
    if task == "regression":
        assert list(found) == ["model", "request_id", "predictions"]
        assert np.corrcoef(found["predictions"], [row["size"] for row in rows])[0, 1] > 0.9
        return
    assert list(found) == ["model", "request_id", "predictions", "probabilities"]
    for called, each in zip(found["predictions"], found["probabilities"], strict=True):
        assert list(each) == ["early", "late", "on time"]
        assert max(each, key=each.get) == called
        assert sum(each.values()) == pytest.approx(1, abs=1e-5)
    assert (found["predictions"][0], found["predictions"][-1]) == ("early", "late")


def test_arrow_says_what_json_says(server, rows):
    _, found = server.predict(rows)
    body = json.dumps(rows).encode()
    _, stream, _ = server.call("POST", "/v1/predict", body, content_type="application/json", accept=ARROW)
    with pa.ipc.open_stream(stream) as reader:
        table = reader.read_all()
    assert table["prediction"].type in (pa.string(), pa.float32())
    single = [np.float32(one) if isinstance(one, float) else one for one in found["predictions"]]
    assert table["prediction"].to_pylist() == single
    if "probabilities" in found:
        for mine, theirs in zip(table["probabilities"].to_pylist(), found["probabilities"], strict=True):
            assert {name: np.float32(value) for name, value in theirs.items()} == mine


def test_contributions_add_up_to_the_margin_of_what_is_predicted(server, task, rows):
    _, found = server.predict(rows, "explain")
    _, said = server.predict(rows)
    sums = [sum(parts.values()) + bias for parts, bias in zip(found["contributions"], found["bias"], strict=True)]
    np.testing.assert_allclose(sums, found["margins"], atol=1e-3)
    if task == "regression":
        np.testing.assert_allclose(found["margins"], said["predictions"], rtol=1e-5)


def test_answers_are_as_the_document_says_and_the_pages_say_the_metrics(server, made, task, rows):
    document = json.loads(server.call("GET", "/v1/openapi.json")[1])
    for route, name in (("predict", "Predictions"), ("explain", "Explanations")):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(server.predict(rows, route)[1])
    about = json.loads(server.call("GET", "/v1/model")[1])
    assert (about["task"], "threshold" in about) == (task, False)
    assert about["metrics"] == {name: made[2]["metrics"][name] for name in about["metrics"]}
    page = server.call("GET", "/v1/docs")[1].decode()
    assert "says yes" not in page
    assert ("3 classes" in page) == (task == "multiclass")


def test_the_log_is_read_back(server, task, rows):
    from penstock.prediction_log import records

    server.predict(rows, **{"x-request-id": "typed"})
    folder = server.state / "log"

    def logged() -> list:
        with contextlib.suppress(FileNotFoundError):  # a segment was closed, and so renamed, meanwhile
            lines = [line for path in folder.glob("*") for line in path.read_bytes().splitlines(keepends=True)]
            return [record for record in records(lines) if record.id == "typed"]
        return []

    [record] = until(logged)
    assert len(record.scores) == len(record.decisions) == len(rows)
    assert isinstance(record.decisions[0], str if task == "multiclass" else float)
