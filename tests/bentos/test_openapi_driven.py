"""Schemathesis reads the service's own OpenAPI document and asks what it says: the answers have to be as it says."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.bentos.conftest import ARROW

schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def document(server, release):
    """The document, and what it cannot say: how an Arrow stream looks."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist([release.row] * 2)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    good = sink.getvalue().to_pybytes()
    schemathesis.openapi.media_type(ARROW, st.one_of(st.just(good), st.binary(max_size=100)))
    host, port = server.listener.getsockname()
    return schemathesis.openapi.from_url(f"http://{host}:{port}/v1/openapi.json")


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain", "/v1/model", "/v1/openapi.json", "/v1/docs"])
def test_the_service_answers_as_its_document_says(document, path):
    (operation,) = (found.ok() for found in document.get_all_operations() if found.ok().path == path)
    checks = [
        schemathesis.checks.not_a_server_error,
        *(schemathesis.checks.CHECKS.get_one(name) for name in CONFORMANCE),
    ]
    asked = []

    @settings(max_examples=60, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
    @given(case=operation.as_strategy())
    def ask(case):
        asked.append(case)
        case.call_and_validate(checks=checks)

    ask()
    assert asked


CONFORMANCE = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
