"""Files are scored as the service would answer their rows, and are counted by monitoring once; nothing here serves."""

from __future__ import annotations

import gzip

import numpy as np
import polars as pl
import pytest
import yaml

from bentos.scoring import Scorer
from flows.monitor import monitor
from flows.score import score
from penstock.errors import ConfigError, DataError
from penstock.rows import RowErrors
from tasks.data.data import resolve_dataset
from tasks.data.project import load_project
from tasks.data.sources import load_source
from tasks.monitoring.collected_store import read_windows
from tasks.monitoring.label_sources import LabelSource
from tasks.monitoring.labelling import record_labels
from tasks.monitoring.served_store import read_served
from tasks.operations.simulation import labelled_predictions
from tasks.packaging.model_server import unpacked
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged, tell
from tasks.store import locks
from tasks.training.samples import json_rows

ROWS = 500


@pytest.fixture(scope="module")
def rows(tiny) -> pl.DataFrame:
    return load_source(load_project("tiny")).read("b4").rows.drop("late")


@pytest.fixture
def output(tiny, request) -> str:
    return str(tiny.root / f"{abs(hash(request.node.name))}.parquet")


@pytest.fixture(scope="module")
def known(tiny, rows) -> np.ndarray:
    """What the release's own server computes of the rows."""
    return service().scores(service().reader.read(json_rows(rows)).matrix)


def service() -> Scorer:
    folder = unpacked(packaged("tiny").candidate.package)
    return Scorer(next(folder.glob("models/**/model.ubj")).parent)


def change(tiny, **sections) -> None:
    path = tiny.root / "configs" / "tiny.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections, sort_keys=False))


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "folder", "pattern", "dataset"])
def test_every_format_gives_what_the_service_answers(tiny, rows, known, kind, tmp_path):
    source = str(tmp_path / f"in.{kind}")
    half = ROWS // 2
    if kind == "parquet":
        rows.with_columns(pl.col("seats").cast(pl.Float64), pl.col("color").cast(pl.Categorical)).write_parquet(source)
    elif kind == "csv":
        rows.write_csv(source)
    elif kind == "csv.gz":
        (tmp_path / "in.csv.gz").write_bytes(gzip.compress(rows.write_csv().encode()))
    elif kind == "dataset":
        source = f"dataset:{resolve_dataset.fn(load_project('tiny').data).version.removesuffix('.dir')}"
    else:
        for number, part in enumerate((rows[:half], rows[half:])):
            part.write_parquet(tmp_path / f"part-{number}.parquet")
        (tmp_path / ".tmp-part-2.parquet").write_bytes(b"not whole yet")
        source = str(tmp_path / "part-*.parquet") if kind == "pattern" else str(tmp_path)
    for output in (tmp_path / "out.csv", tmp_path / "out" / "out.parquet"):
        output.parent.mkdir(exist_ok=True)
        found = score.fn("tiny", source, str(output), keys=["id"], log=False)
        if output.suffix == ".csv":
            answers = pl.read_csv(output, schema_overrides={"probability": pl.Float32})
        else:
            answers = pl.read_parquet(output)
        assert answers.columns == ["request_id", "row", "id", "model", "probability", "prediction"]
        assert answers["row"].to_list() == list(range(found.rows))
        assert set(answers["model"]) == {"tiny-v2"} and set(answers["request_id"]) == {found.run}
        if kind == "dataset":
            assert found.rows == 3 * ROWS
            continue
        assert answers["id"].to_list() == rows["id"].to_list()
        assert np.array_equal(answers["probability"].to_numpy(), known)
        assert answers["prediction"].to_list() == (known >= service().answers.threshold).tolist()


def test_rows_are_refused_where_the_service_refuses_them(tiny, rows, output, tmp_path):
    spoiled = rows[:12].with_columns(
        size=pl.Series([-1.0, 100.5, None, 1e39, 100.0, *[5.0] * 7], dtype=pl.Float64),
        seats=pl.Series([1, 2, 3, 4, 5, 501, 40_000, None, -1, 6, 7, 8], dtype=pl.Int64),
        color=pl.Series([*["red"] * 9, "pink", None, "blue"]),
    )
    spoiled.write_parquet(tmp_path / "in.parquet")
    change(tiny, data=load_project("tiny").data.model_dump() | {"max_invalid_fraction": 1.0})
    found = score.fn("tiny", str(tmp_path / "in.parquet"), output, log=False)
    refused = set(pl.read_parquet(found.quarantine)["row"])
    reader, expected = service().reader, set()
    for number, row in enumerate(spoiled.to_dicts()):
        try:
            reader.read([{name: row[name] for name in reader.names}])
        except RowErrors:
            expected.add(number)
    assert refused == expected == {0, 1, 2, 3, 5, 6, 8, 9, 10}
    assert (found.rows, found.refused) == (3, 9)
    assert set(pl.read_parquet(output)["row"]) == set(range(12)) - refused


def test_quarantine_says_which_row_which_column_and_why(tiny, rows, output, tmp_path):
    source = tmp_path / "in.csv"
    text = rows.write_csv().splitlines()
    text[1] = text[1].replace(",", "-x,", 1)  # an id, which is no feature
    cells = text[3].split(",")
    cells[rows.columns.index("seats")] = "many"
    text[3] = ",".join(cells)
    source.write_text("\n".join(text) + "\n")
    found = score.fn("tiny", str(source), output, log=False)
    assert pl.read_parquet(found.quarantine).rows() == [(2, "seats", "is no Int16", "many")]
    assert (found.rows, found.refused) == (ROWS - 1, 1)
    score.fn("tiny", str(source), output, log=False, force=True)
    rows.write_csv(source)
    again = score.fn("tiny", str(source), output, log=False, force=True)
    assert (again.quarantine, (tiny.root / f"{output}.quarantine.parquet").exists()) == ("", False)


@pytest.mark.parametrize("options", [{}, {"on_invalid": "fail"}])
def test_too_many_bad_rows_leave_nothing(tiny, rows, output, tmp_path, options):
    bad = 30 if not options else 1
    rows.with_columns(size=pl.when(pl.int_range(ROWS) < bad).then(-1.0).otherwise("size").cast(pl.Float32)).write_csv(
        tmp_path / "in.csv"
    )
    change(tiny, data=load_project("tiny").data.model_dump() | {"max_invalid_fraction": 0.05})
    before = set(tiny.root.iterdir()), len(read_ledger("tiny"))
    with pytest.raises(DataError, match=rf"{bad} of .*(?s:.)*row 0: -1") as error:
        score.fn("tiny", str(tmp_path / "in.csv"), output, **options)
    assert "size: in_range(0, 100)" in error.value.found
    assert (set(tiny.root.iterdir()), len(read_ledger("tiny"))) == before
    assert monitor.fn("tiny", close=True).window is None


def test_monitoring_counts_a_file_once_and_labels_find_its_rows(tiny, rows, output, tmp_path):
    rows.write_parquet(tmp_path / "in.parquet")
    found = score.fn("tiny", str(tmp_path / "in.parquet"), output)
    assert monitor.fn("tiny").window is None  # too few to make a window by themselves
    seen = monitor.fn("tiny", close=True)
    assert (seen.window.batch, seen.window.counts.rows, seen.window.models) == (True, ROWS, {"tiny-v2": ROWS})
    assert (seen.verdict.batch, "volume" in seen.verdict.judged) == (True, False)
    assert {column.name for column in seen.verdict.columns} == {"color", "size", "seats", "wet"}
    assert monitor.fn("tiny", close=True).window is None
    served = read_served(read_windows("tiny")).filter(request_id=found.run)
    answers = pl.read_parquet(output)
    assert served["row"].to_list() == answers["row"].to_list()
    assert served["score"].equals(answers["probability"].alias("score"))
    assert served["decision"].to_list() == answers["prediction"].to_list()
    event = next(event for event in read_ledger("tiny") if event.facts.get("run") == found.run)
    assert (event.kind, event.version, event.facts["rows"]) == ("scored", "tiny-v2", str(ROWS))

    answers.select("request_id", "row", late=pl.col("row") % 2 == 0).head(40).write_csv(tmp_path / "late.csv")
    recorded = record_labels.fn(load_project("tiny"), LabelSource(file=str(tmp_path / "late.csv")))
    assert (recorded.recorded.new, recorded.unmatched) == (40, 0)
    assert labelled_predictions(load_project("tiny")).filter(request_id=found.run)["label"].drop_nulls().len() == 40


def test_several_files_make_one_window_and_labels_find_rows_by_key(tiny, rows, tmp_path):
    change(tiny, labels={"by": "keys", "key_columns": ["id"]})
    try:
        for number, part in enumerate((rows[:100], rows[100:250])):
            part.write_parquet(tmp_path / f"in{number}.parquet")
            score.fn("tiny", str(tmp_path / f"in{number}.parquet"), str(tmp_path / f"out{number}.parquet"))
        assert pl.read_parquet(tmp_path / "out1.parquet").columns[2] == "id"
        assert monitor.fn("tiny", close=True).window.counts.rows == 250
        rows.select("id", late=True).head(250).write_parquet(tmp_path / "late.parquet")
        recorded = record_labels.fn(load_project("tiny"), LabelSource(file=str(tmp_path / "late.parquet")))
        assert (recorded.recorded.new, recorded.unmatched) == (250, 0)
    finally:
        change(tiny, labels={})


def test_a_file_that_fills_a_window_is_taken_at_once_and_traffic_waits_its_turn(tiny, rows, output, tmp_path):
    rows.write_parquet(tmp_path / "in.parquet")
    change(tiny, monitor={"window_rows": ROWS, "min_rows": 100})
    try:
        score.fn("tiny", str(tmp_path / "in.parquet"), output)
        assert monitor.fn("tiny").window.counts.rows == ROWS
    finally:
        change(tiny, monitor={})


def test_what_the_log_may_not_keep_is_not_in_it(tiny, rows, output, tmp_path, monkeypatch):
    rows.write_parquet(tmp_path / "in.parquet")
    change(tiny, serve={"log": {"hash": ["color"], "drop": ["seats"]}})
    try:
        with pytest.raises(ConfigError, match="PENSTOCK_LOG_KEY"):
            score.fn("tiny", str(tmp_path / "in.parquet"), output)
        monkeypatch.setenv("PENSTOCK_LOG_KEY", "secret")
        found = score.fn("tiny", str(tmp_path / "in.parquet"), output)
        monitor.fn("tiny", close=True)
        served = read_served(read_windows("tiny"), ("color", "seats")).filter(request_id=found.run)
        assert served["seats"].null_count() == ROWS
        assert {len(value) for value in served["color"]} == {32} and served["color"].n_unique() == 3
    finally:
        change(tiny, serve={})


def test_not_logged_is_not_counted(tiny, rows, output, tmp_path):
    rows.write_parquet(tmp_path / "in.parquet")
    found = score.fn("tiny", str(tmp_path / "in.parquet"), output, log=False)
    assert (found.logged, monitor.fn("tiny", close=True).window) == (False, None)
    events = [event for event in read_ledger("tiny") if event.facts.get("run") == found.run]
    assert [(event.kind, event.facts["logged"]) for event in events] == [("scored", "False")]


class TestRefusals:
    def test_an_output_that_is_there(self, tiny, rows, output, tmp_path):
        rows.write_parquet(tmp_path / "in.parquet")
        (tmp_path / "out.parquet").write_text("mine")
        with pytest.raises(DataError, match="there already"):
            score.fn("tiny", str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet"))
        assert (tmp_path / "out.parquet").read_text() == "mine"
        with pytest.raises(DataError, match="one of the files"):
            score.fn("tiny", str(tmp_path), str(tmp_path / "in.parquet"), force=True)

    def test_an_output_that_another_process_writes(self, tiny, rows, output, tmp_path):
        rows.write_parquet(tmp_path / "in.parquet")
        with locks.exclusive(f"score-{output}"), pytest.raises(DataError, match="Another process"):
            score.fn("tiny", str(tmp_path / "in.parquet"), output)

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda rows: rows.drop("size", "wet"), "missing: size, wet"),
            (lambda rows: rows.with_columns(colour=pl.lit(1)), "not in the schema: colour"),
            (lambda rows: rows.with_columns(pl.col("seats").cast(pl.String)), "seats is String, not Int16"),
            (lambda rows: rows.clear(), "no rows to score"),
        ],
    )
    def test_columns_that_are_not_right(self, tiny, rows, output, tmp_path, spoil, message):
        spoil(rows).write_parquet(tmp_path / "in.parquet")
        with pytest.raises(DataError, match=message):
            score.fn("tiny", str(tmp_path / "in.parquet"), output)

    def test_a_column_beside_the_schema_may_be_a_key(self, tiny, rows, output, tmp_path):
        rows.with_columns(ours=pl.int_range(ROWS)).write_parquet(tmp_path / "in.parquet")
        score.fn("tiny", str(tmp_path / "in.parquet"), output, keys=["ours"], log=False)
        assert pl.read_parquet(output)["ours"].to_list() == list(range(ROWS))
        with pytest.raises(ConfigError, match="row"):
            score.fn("tiny", str(tmp_path / "in.parquet"), output, keys=["row"], force=True)

    def test_inputs_that_are_none(self, tiny, output, tmp_path):
        for name, text in (("torn.parquet", "PAR1"), ("torn.csv", 'a,b\n1,2,3\n"'), ("notes.txt", "a")):
            (tmp_path / name).write_text(text)
            with pytest.raises(DataError):
                score.fn("tiny", str(tmp_path / name), output)
        with pytest.raises(DataError, match="nothing to score"):
            score.fn("tiny", str(tmp_path / "gone.parquet"), output)

    def test_releases_that_are_none_or_may_not(self, tiny, rows, output, tmp_path):
        rows.write_parquet(tmp_path / "in.parquet")
        source = str(tmp_path / "in.parquet")
        with pytest.raises(DataError, match="no release `tiny-v9`") as error:
            score.fn("tiny", source, output, version="tiny-v9")
        assert error.value.allowed == "tiny-v1, tiny-v2"
        tell("tiny", "quarantined", "tiny-v2", "it lies")
        try:
            with pytest.raises(DataError, match="in quarantine"):
                score.fn("tiny", source, output, version="tiny-v2")
            assert score.fn("tiny", source, output, log=False).version == "tiny-v1"
            found = score.fn("tiny", source, output, version="tiny-v2", quarantined=True, log=False, force=True)
            assert found.version == "tiny-v2"
        finally:
            tell("tiny", "cleared", "tiny-v2", "it does not")
