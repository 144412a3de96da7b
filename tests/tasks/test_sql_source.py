"""A growing table gives each row once, whatever is repeated; and a database's secrets are nowhere to be read."""

from __future__ import annotations

import datetime

import polars as pl
import pytest
import sqlalchemy

from penstock.columns import Column
from penstock.errors import ConfigError, DataError
from penstock.source_config import SourceConfig
from tasks.data.sql_source import SqlSource
from tests.postgres import PASSWORD, postgres

COLUMNS = {
    "id": Column(dtype="Int64"),
    "at": Column(dtype="Datetime(time_unit='us')"),
    "amount": Column(dtype="Float64", nullable=True),
    "paid": Column(dtype="Boolean"),
    "note": Column(dtype="String", nullable=True),
}
START = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
VARIABLE = "SHOP_URL"
QUERY = "SELECT id, at, amount, paid, note FROM orders WHERE note IS NULL OR note NOT LIKE '%:skip'"


@pytest.fixture(scope="module")
def server():
    with postgres() as url:
        yield url


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request, tmp_path, monkeypatch):
    """An empty table of orders; the URL is in the environment."""
    url = f"sqlite:///{tmp_path}/shop.db" if request.param == "sqlite" else request.getfixturevalue("server")
    monkeypatch.setenv(VARIABLE, url)
    engine = sqlalchemy.create_engine(url)
    exact = "timestamptz" if request.param == "postgresql" else "text"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS orders"))
        columns = f"id integer, at {exact}, amount numeric(9, 2), paid boolean, note text"
        connection.execute(sqlalchemy.text(f"CREATE TABLE orders ({columns})"))
    yield engine
    engine.dispose()


def insert(engine, ids, minute=None) -> None:
    """Orders, each in a minute of its own, or all in one."""
    rows = []
    for number in ids:
        at = START + datetime.timedelta(minutes=number if minute is None else minute)
        when = at if engine.dialect.name == "postgresql" else at.isoformat(sep=" ")
        rows.append({"id": number, "at": when, "amount": number / 4, "paid": number % 2 == 0,
                     "note": None if number % 3 else "größer: ok"})  # fmt: skip
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO orders VALUES (:id, :at, :amount, :paid, :note)"), rows)


def source(size=1000, watermark="at", **place) -> tuple[SqlSource, dict[str, pl.DataFrame]]:
    taken: dict[str, pl.DataFrame] = {}
    sql = {"query": QUERY, "watermark": watermark, **(place or {"url_env": VARIABLE})}
    dates = {"at": ["%Y-%m-%d %H:%M:%S%#z", "%Y-%m-%d %H:%M:%S%.f%#z"]}
    config = SourceConfig.model_validate({"sql": sql, "batch_rows": size, "dates": dates})
    return SqlSource(config, COLUMNS, lambda: set(taken)), taken


def take(reader: SqlSource, taken: dict[str, pl.DataFrame], most: int = 99) -> list[int]:
    """Ingest up to ``most`` new batches; the ids of all rows that are there now."""
    for name in [name for name in reader.names() if name not in taken][:most]:
        taken[name] = reader.read(name).rows
    return sorted(row for frame in taken.values() for row in frame["id"].to_list())


def test_each_row_once_in_bounded_batches(database):
    insert(database, range(2500))
    reader, taken = source()
    assert take(reader, taken, most=1) == list(range(1000))
    assert take(reader, taken) == list(range(2499))  # the newest moment may still be growing
    assert [frame.height for frame in taken.values()] == [1000, 1000, 499]
    assert reader.names() == list(taken)
    insert(database, range(2500, 2503))
    assert take(reader, taken) == list(range(2502))
    assert take(reader, taken) == list(range(2502))


def test_a_batch_is_the_same_each_time_it_is_read(database):
    insert(database, range(1500))
    reader, _ = source()
    names = reader.names()
    before = reader.read(names[0]).rows
    insert(database, range(1500, 1600))
    assert reader.names()[0] == names[0]
    assert reader.read(names[0]).rows.equals(before)
    assert before.schema == {"id": pl.Int64, "at": pl.Datetime("us"), "amount": pl.Float64, "paid": pl.Boolean,
                             "note": pl.String}  # fmt: skip
    assert before.row(3) == (3, datetime.datetime(2024, 1, 1, 0, 3), 0.75, False, "größer: ok")


def test_rows_of_one_moment_are_never_parted_nor_missed(database):
    insert(database, range(900))
    insert(database, range(900, 1500), minute=900)  # over the end of a batch
    insert(database, range(2000, 2001))
    reader, taken = source()
    assert take(reader, taken) == list(range(1500))
    assert [frame.height for frame in taken.values()] == [1500]
    insert(database, [2001], minute=2000)  # comes late, with the mark of the newest that was there
    insert(database, [3000])
    assert take(reader, taken) == [*range(1500), 2000, 2001]


def test_whole_numbers_are_a_watermark_too_and_without_one_all_is_read_once(database):
    insert(database, range(50))
    reader, taken = source(watermark="id")
    assert take(reader, taken) == list(range(49))
    whole, taken = source(watermark=None)
    assert take(whole, taken) == list(range(50))
    insert(database, [50])
    assert take(whole, taken) == list(range(50))


def test_an_empty_table_has_no_batches(database):
    reader, _ = source()
    assert reader.names() == []


def test_nothing_is_changed(database):
    insert(database, range(5))
    config = SourceConfig.model_validate({"sql": {"url_env": VARIABLE, "query": "DELETE FROM orders"}})
    with pytest.raises(DataError):
        SqlSource(config, COLUMNS, set).read("all")
    with database.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM orders")).scalar() == 5


@pytest.mark.parametrize("query", ["SELECT 1 AS a, 2 AS a", "SELECT nothing FROM orders", "SELECT FROM WHERE"])
def test_a_wrong_query_is_a_data_error(database, query):
    config = SourceConfig.model_validate({"sql": {"url_env": VARIABLE, "query": query}})
    with pytest.raises(DataError):
        SqlSource(config, COLUMNS, set).read("all")


def secretless(error: BaseException) -> bool:
    """Whether neither an error nor what it came from says the password, as it is or as a URL has it."""
    said = ""
    while error is not None:
        said += str(error) + repr(error) if not error.__suppress_context__ else str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "hunter2" not in said


def test_a_wrong_password_is_refused_by_the_server_and_not_told(server, monkeypatch):
    assert PASSWORD.startswith("hunter2")
    monkeypatch.setenv(VARIABLE, server.replace("hunter2", "hunter2-wrong"))
    reader, _ = source()
    with pytest.raises(DataError) as caught:
        reader.names()
    assert "password authentication failed" in caught.value.found
    assert secretless(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hunter2@127.0.0.1:1/x", "postgresql+nosuch://me:hunter2@127.0.0.1/x",
        "postgresql+psycopg://me@127.0.0.1:1/x?password=hunter2", "no url of hunter2", "sqlite:////nowhere/hunter2/x.db",
    ],
)  # fmt: skip
def test_no_error_tells_the_secret_of_a_url(monkeypatch, url):
    monkeypatch.setenv(VARIABLE, url)
    reader, _ = source()
    with pytest.raises((DataError, ConfigError)) as caught:
        reader.names()
    if "sqlite" not in url:  # a file's path is no secret
        assert secretless(caught.value)


def test_the_password_may_be_apart_from_the_url(server, monkeypatch):
    url = sqlalchemy.engine.make_url(server)
    monkeypatch.setenv("PENSTOCK_SQL_PASSWORD", url.password)
    config = SourceConfig.model_validate(
        {"sql": {"url": url._replace(password=None).render_as_string(), "query": "SELECT 1 AS id"}}
    )
    assert SqlSource(config, {"id": Column(dtype="Int64")}, set).read("all").rows.rows() == [(1,)]


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=VARIABLE):
        source()[0].names()


def test_a_prefect_secret_block_may_hold_the_url(live, tmp_path):
    from tasks.platform import platform

    platform.prefect_environment()
    from prefect.blocks.system import Secret

    url = f"sqlite:///{tmp_path}/block.db"
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t AS SELECT 7 AS id"))
    with platform.connected():
        Secret(value=url).save("penstock-test-shop", overwrite=True, _sync=True)
    config = SourceConfig.model_validate({"sql": {"url_block": "penstock-test-shop", "query": "SELECT id FROM t"}})
    assert SqlSource(config, {"id": Column(dtype="Int64")}, set).read("all").rows.rows() == [(7,)]
    missing = SourceConfig.model_validate({"sql": {"url_block": "penstock-no-such", "query": "SELECT id FROM t"}})
    with pytest.raises(ConfigError, match="penstock-no-such"):
        SqlSource(missing, {"id": Column(dtype="Int64")}, set).read("all")
