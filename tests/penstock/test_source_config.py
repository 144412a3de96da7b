"""`data.source` says where rows come from and how they are read; a secret in it is refused and not repeated."""

from __future__ import annotations

import pytest
import yaml

from penstock.config import Project, json_schema, parse
from penstock.errors import ConfigError
from penstock.source_config import has_secret

FILES = {"files": "rows.csv", "format": "csv"}


def project(source) -> str:
    tree = {
        "name": "x", "data": {"source": source, "path": "data/x"}, "schema": "x.yaml",
        "features": {"label": "y", "numeric": ["a"]}, "gate": {}, "package": {"purpose": "p"},
    }  # fmt: skip
    return yaml.safe_dump(tree)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({}, "exactly one"),
        ({**FILES, "call": "a:b"}, "exactly one"),
        ({"files": "rows.csv"}, "format"),
        ({"call": "a:b", "format": "csv"}, "format"),
        ({**FILES, "thousands": "."}, "both"),
        ({**FILES, "encoding": "utf-9"}, "no encoding"),
        ({**FILES, "seperator": ";"}, "separator"),
        ({**FILES, "rename": {"a": "c", "b": "c"}}, "renamed to one"),
        ({**FILES, "booleans": {"a": {"as_true": ["Yes"], "as_false": ["yes"]}}}, "True and for False"),
        ({"sql": {"query": "SELECT 1"}}, "exactly one"),
        ({"sql": {"url_env": "A", "url": "sqlite://", "query": "SELECT 1"}}, "exactly one"),
        ({"sql": {"url_env": "A", "query": "DELETE FROM a; SELECT 1"}}, "semicolon"),
        ("flights", "pattern"),
        (7, "valid dictionary"),
    ],
)
def test_a_source_that_is_none_is_refused_by_name(source, said):
    with pytest.raises(ConfigError) as caught:
        parse(project(source), "x.yaml")
    assert said in caught.value.text()
    assert "data.source" in caught.value.text()


def test_the_short_form_is_a_call_and_survives_the_record():
    found = parse(project("examples.flights:source"), "x.yaml")
    assert found.data.source.call == "examples.flights:source"
    assert Project.model_validate(found.model_dump(mode="json", by_alias=True)) == found


@pytest.mark.parametrize(
    "source",
    [
        {"files": "https://me:hunter2@host/rows.csv", "format": "csv"},
        {"files": "https://host/rows.csv?token=hunter2", "format": "csv"},
        {"files": "abfs://c@acc/rows.csv?sig=hunter2", "format": "csv"},
        {"sql": {"url": "postgresql://me:hunter2@db/x", "query": "SELECT 1"}},
        {"sql": {"url": "postgresql://me@db/x?password=hunter2", "query": "SELECT 1"}},
        {"sql": {"url": "mssql+pyodbc:///?odbc_connect=PWD%3Dhunter2", "query": "SELECT 1"}},
    ],
)
def test_a_secret_is_refused_and_not_repeated(source):
    with pytest.raises(ConfigError) as caught:
        parse(project(source), "x.yaml")
    assert "secret" in caught.value.text()
    assert "hunter2" not in caught.value.text()


def test_a_url_without_a_secret_is_none():
    for url in ("s3://bucket/a*.csv", "https://host/a.csv?year=2024", "sqlite:///a.db", "postgresql://me@db/x"):
        assert not has_secret(url), url


def test_a_query_loses_its_semicolon_only():
    found = parse(project({"sql": {"url_env": "A", "query": "SELECT ';' AS a ; "}}), "x.yaml")
    assert found.data.source.sql.query == "SELECT ';' AS a"


def test_editors_accept_both_forms():
    short, long = json_schema()["$defs"]["SourceConfig"]["anyOf"]
    assert short["type"] == "string"
    assert {"files", "sql", "rename"} <= set(long["properties"])
