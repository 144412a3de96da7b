"""Labels are read from files and databases, and a password is nowhere to be read."""

from __future__ import annotations

import sqlite3

import polars as pl
import pytest

from penstock.errors import ConfigError, DataError
from tasks.monitoring.label_sources import PASSWORD, LabelSource, read_labels, require_source

QUERY = "SELECT id AS request_id, late FROM outcomes"


@pytest.fixture
def database(tmp_path):
    with sqlite3.connect(tmp_path / "outcomes.db") as connection:
        connection.execute("CREATE TABLE outcomes (id TEXT, late INTEGER)")
        connection.executemany("INSERT INTO outcomes VALUES (?, ?)", [("a", 1), ("b", 0), ("c", None)])
    return f"sqlite:///{tmp_path}/outcomes.db"


def test_a_file_is_read_as_it_is(tmp_path):
    (tmp_path / "late.csv").write_text("flight,late\n007,1\n008,\n")
    assert read_labels(LabelSource(file=str(tmp_path / "late.csv"))).rows() == [("007", "1"), ("008", None)]
    pl.DataFrame({"flight": [7], "late": [True]}).write_parquet(tmp_path / "late.parquet")
    assert read_labels(LabelSource(file=str(tmp_path / "late.parquet"))).rows() == [(7, True)]


@pytest.mark.parametrize("name", ["gone.csv", "broken.parquet"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "broken.parquet").write_text("flight,late\n")
    with pytest.raises(DataError) as caught:
        read_labels(LabelSource(file=str(tmp_path / name)))
    assert name in caught.value.where


def test_a_query_is_read_and_changes_nothing(database):
    source = LabelSource(sql=database, query=QUERY)
    assert read_labels(source).rows() == [("a", 1), ("b", 0), ("c", None)]
    with pytest.raises(DataError):
        read_labels(LabelSource(sql=database, query="DELETE FROM outcomes"))
    assert read_labels(source).height == 3


@pytest.mark.parametrize(
    "source",
    [
        LabelSource(),
        LabelSource(file="a.csv", sql="sqlite://", query="SELECT 1"),
        LabelSource(sql="sqlite://"),
        LabelSource(file="a.csv", query="SELECT 1"),
        LabelSource(file="a.xlsx"),
        LabelSource(sql="hunter2 is no url", query="SELECT 1"),
        LabelSource(sql="postgresql://me:hunter2@db/x", query="SELECT 1"),
        LabelSource(sql="postgresql://me@db/x?password=hunter2", query="SELECT 1"),
        LabelSource(sql="mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dhunter2", query="SELECT 1"),
    ],
)
def test_a_place_that_is_none_or_has_a_secret_is_refused_without_repeating_it(source):
    with pytest.raises(ConfigError) as caught:
        read_labels(source)
    assert "hunter2" not in caught.value.text()


def test_a_url_without_a_password_is_accepted():
    require_source(LabelSource(sql="postgresql://me@db/x?sslmode=require&sslkey=k.pem", query="SELECT 1"))


def test_neither_errors_nor_the_ledger_show_the_password(monkeypatch, database):
    monkeypatch.setenv(PASSWORD, "hunter2")
    source = LabelSource(sql="mysql+nosuchdriver://me@db.internal/x", query="SELECT 1")
    with pytest.raises(DataError) as caught:
        read_labels(source)
    assert "hunter2" not in caught.value.text() + repr(caught.value.__context__ or "")
    assert str(source) == "mysql+nosuchdriver://db.internal/x"

    def leaking(url, **options):
        raise ImportError(f"cannot reach {url.render_as_string(hide_password=False)}")

    monkeypatch.setattr("sqlalchemy.create_engine", leaking)
    with pytest.raises(DataError) as caught:
        read_labels(source)
    assert "hunter2" not in caught.value.text() and "***" in caught.value.found


def test_a_query_that_names_a_column_twice_is_refused(database):
    with pytest.raises(DataError, match="one name"):
        read_labels(LabelSource(sql=database, query="SELECT id AS a, late AS a FROM outcomes"))
