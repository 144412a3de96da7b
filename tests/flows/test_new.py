"""`penstock new` makes of an awkward table a project that loads, takes the very rows it was made of, and trains."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import urllib.request
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flows.cli_new import warnings
from flows.new import new
from penstock.errors import ConfigError, DataError
from tasks.data.ingestion import missing_batches
from tasks.data.project import load_project, schema_text
from tasks.data.sources import load_source
from tasks.data.validation import check_batch

REPOSITORY = Path(__file__).resolve().parents[2]
N = 1200


def awkward(rows: int = N, seed: int = 5) -> list[list[str]]:
    """An export as it comes: a German spreadsheet with spaces, symbols and doubles in its names."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    churned = rng.uniform(size=rows) < 1 / (1 + np.exp(-2 * x))
    head = [
        "Bestell Nr.",
        "Betrag (€)",
        "bestellt am",
        "Bezahlt?",
        "Stadt",
        "Stadt",
        "PLZ",
        "Notiz",
        "Land",
        "gekündigt",
    ]
    table = [head]
    for i in range(rows):
        amount = f"{1000 + 300 * x[i]:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
        at = datetime.datetime(2023, 1, 1) + datetime.timedelta(hours=5 * i)
        table.append([
            f"B{i:06}", "?" if i % 11 == 0 else amount,
            at.strftime("%d.%m.%Y %H:%M" if i % 2 else "%Y-%m-%d %H:%M"), "ja" if rng.uniform() < 0.5 else "nein",
            str(rng.choice(["Köln", "Bonn", "NA"])), str(rng.choice(["x", "y"])), str(rng.choice(["01067", "50667"])),
            f'er sagte: "nein"\nund ging; {i}', "DE", "ja" if churned[i] else "nein",
        ])  # fmt: skip
    return table


def write(path: Path, table: list[list[str]], encoding: str = "latin-1", separator: str = ";") -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows(table)
    path.write_bytes(text.getvalue().replace("€", "EUR").encode(encoding))


def taken(name: str) -> tuple[int, int]:
    """(valid, invalid) rows of every batch of the project's own source, by its own schema."""
    project = load_project(name)
    source = load_source(project)
    good = bad = 0
    for batch in source.names():
        found = source.read(batch)
        check = check_batch(found.rows, schema_text(project), project.data, batch, found.unread)
        good, bad = good + check.good.height, bad + check.bad.height
    return good, bad


def test_an_awkward_table_becomes_a_project_that_serves(live, prefect_api):
    write(live.root / "Käufe.csv", awkward())
    made = live.penstock("new", "shop", "Käufe.csv", "--target", "Gekündigt")
    assert made.returncode == 0, made.stderr
    project = load_project("shop")
    source, features = project.data.source, project.features
    assert (source.encoding, source.separator, source.decimal, source.thousands) == ("cp1252", ";", ",", ".")
    assert set(source.missing) == {"?", "NA"}
    assert features.label == "gekundigt"
    assert features.time == "bestellt_am"
    assert set(features.categorical) == {"Stadt", "stadt_2", "PLZ"}
    assert set(features.numeric) == {"betrag_eur", "bezahlt"}
    assert "constant: DE" in made.stdout
    assert "penstock run shop" in made.stdout
    assert taken("shop") == (N, 0)

    from flows.plan import nothing_to_do
    from flows.run import run

    done = run("shop")
    assert done.outcome.release.verdict == "blessed"
    assert done.deployment.result == "healthy"
    assert nothing_to_do("shop") is not None

    (live.root / "flows").symlink_to(REPOSITORY / "flows")
    from tasks.platform import platform
    from tasks.platform.deployments import ensure_deployments

    with platform.connected():
        assert len(ensure_deployments().ids["shop"]) == 8  # Prefect takes them


def test_a_project_is_never_written_over_without_force(checkout):
    write(checkout.root / "rows.csv", awkward(60))
    new("shop", "rows.csv", "gekündigt")
    config = checkout.root / "configs" / "shop.yaml"
    config.write_text(config.read_text() + "# mine\n")
    before = {path: path.read_bytes() for path in (config, checkout.root / "prefect.yaml")}
    again = checkout.penstock("new", "shop", "rows.csv", "--target", "gekündigt")
    assert again.returncode == 2
    assert "exists already" in again.stderr and "--force" in again.stderr
    assert {path: path.read_bytes() for path in before} == before
    new("shop", "rows.csv", "gekündigt", force=True)
    assert "# mine" not in config.read_text()
    said = checkout.penstock("new", "shop", "rows.csv", "--target", "gekündigt", "--force", "--json")
    assert json.loads(said.stdout)["project"] == "shop"
    assert (checkout.root / "prefect.yaml").read_bytes() == before[checkout.root / "prefect.yaml"]
    with pytest.raises(ConfigError, match="exists already"):
        new("tiny", "rows.csv", "gekündigt")


CLEAN = "a,b,y\n" + "".join(f"{i % 17},{i % 3},{'yes' if i % 5 < 2 else 'no'}\n" for i in range(200))
WRONG = {
    "no such column": (CLEAN, "yy", DataError, "no column"),
    "one value": (CLEAN.replace("yes", "no"), "y", DataError, "one value only"),
    "empty": ("", "y", DataError, "empty"),
    "header only": ("a,b,y\n", "y", DataError, "0 rows"),
    "one row": ("a,b,y\n1,2,yes\n", "y", DataError, "1 rows"),
    "an Excel file": ("PK\x03\x04", "y", DataError, "Excel"),
    "a JSON array": ('[{"a": 1}]', "y", DataError, "JSON array"),
    "not text": ("a\0b\n", "y", DataError, "not text"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_a_project_says_why_and_writes_nothing(checkout, kind):
    content, target, error, said = WRONG[kind]
    (checkout.root / "rows.csv").write_bytes(content.encode())
    before = sorted(checkout.root.rglob("*.yaml"))
    with pytest.raises(error, match=said):
        new("shop", "rows.csv", target)
    assert sorted(checkout.root.rglob("*.yaml")) == before


def test_bad_names_and_places_are_usage_errors(checkout):
    for arguments in (["Shop", "rows.csv"], ["yes", "rows.csv"], ["shop", "gone.csv"], ["shop", "no_module:source"]):
        found = checkout.penstock("new", *arguments, "--target", "y")
        assert found.returncode in (2, 4), found.stderr
        assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    "place",
    ["postgresql://me:hunter2@db/x", "postgresql://me@db/x?password=hunter2", "https://me:hunter2@host/rows.csv"],
)
def test_a_secret_in_the_command_is_refused_and_not_repeated(checkout, place):
    query = ["--query", "SELECT 1"] if "postgres" in place else []
    found = checkout.penstock("new", "shop", place, "--target", "y", *query)
    assert found.returncode == 2
    assert "secret" in found.stderr
    assert "hunter2" not in found.stderr + found.stdout


def test_a_databases_secret_is_in_no_file(checkout, monkeypatch):
    import sqlite3

    with sqlite3.connect(checkout.root / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, amount REAL, y INTEGER)")
        rng = np.random.default_rng(1)
        rows = [(i, float(v), int(v + rng.normal() > 0)) for i, v in enumerate(rng.normal(size=500))]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{checkout.root}/shop.db?timeout=41425926")
    made = new("shop", "env:SHOP_URL", "y", query="SELECT * FROM orders", watermark="id")
    assert made.counts.rows == 499
    project = load_project("shop")
    assert project.data.source.sql.url_env == "SHOP_URL"
    assert len(missing_batches(project)) == 1
    assert taken("shop") == (499, 0)
    kept = [path for path in checkout.root.rglob("*") if path.is_file() and path.suffix != ".db"]
    assert not [path for path in kept if b"41425926" in path.read_bytes()]


def test_a_databases_secret_is_in_no_log_of_a_run_that_fails(live, prefect_api, monkeypatch):
    from flows.ingest import ingest

    write(live.root / "rows.csv", awkward(60))
    new("shop", "rows.csv", "gekündigt")
    config = live.root / "configs" / "shop.yaml"
    tree = yaml.safe_load(config.read_text())
    tree["data"]["source"] = {"sql": {"url_env": "SHOP_URL", "query": "SELECT 1 AS id"}}
    config.write_text(yaml.safe_dump(tree))
    monkeypatch.setenv("SHOP_URL", "postgresql+psycopg://me:hunter2%2Fx@127.0.0.1:1/x?sslpassword=hunter2y")
    with pytest.raises(DataError) as caught:
        ingest("shop")
    assert "127.0.0.1" in caught.value.text()
    said = caught.value.text()
    for what in ("logs", "flow_runs", "task_runs"):
        request = urllib.request.Request(
            f"{prefect_api}/{what}/filter", b'{"limit": 200}', {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            said += answer.read().decode()
    said += "".join(path.read_bytes().decode("latin-1") for path in live.root.rglob("*") if path.is_file())
    assert "SHOP_URL" in said  # the name of the variable may be told
    assert "hunter2" not in said


def test_a_functions_rows_are_taken_as_they_are(checkout):
    made = new("again", "tiny_source:source", "late")
    assert made.found.source.call == "tiny_source:source"
    project = load_project("again")
    assert project.features.numeric == ("size", "seats", "wet")
    assert taken("again") == (2000, 0)


@pytest.mark.parametrize("form", ["parquet", "jsonl", "arrow", "csv.gz", "tsv"])
def test_other_formats(checkout, form):
    rng = np.random.default_rng(2)
    x = rng.normal(size=300)
    frame = pl.DataFrame({
        "the x": x, "kind": rng.choice(["a", "b"], 300),
        "when": [datetime.date(2024, 1, 1) + datetime.timedelta(i) for i in range(300)],
        "y": (x + rng.normal(size=300) > 0).astype(int),
    })  # fmt: skip
    path = checkout.root / f"rows.{form}"
    if form == "parquet":
        frame.write_parquet(path)
    elif form == "arrow":
        frame.write_ipc(path)
    elif form == "jsonl":
        path.write_text("\n".join(json.dumps(row, default=str) for row in frame.to_dicts()))
    elif form == "tsv":
        frame.write_csv(path, separator="\t")
    else:
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    new("shop", path.name, "y")
    project = load_project("shop")
    assert (project.features.time, project.features.numeric, project.split_by) == ("when", ("the_x",), "time")
    assert taken("shop") == (300, 0)


def test_a_table_too_small_or_not_split_by_time_is_told(checkout):
    rows = [f"{datetime.date(2024, 1, 1) + datetime.timedelta(i)},{i % 7},{'b' if i > 57 else 'a'}" for i in range(70)]
    write(checkout.root / "rows.csv", [line.split(",") for line in ["when,x,y", *rows]], encoding="utf-8")
    made = new("shop", "rows.csv", "y")
    few, split = (
        next(said for said in warnings(made) if said.startswith(start)) for start in ("of 70 rows", "not split")
    )
    assert "about 10 would judge" in few and "before there are 200" in few
    assert "by time" in split and "lack a class" in split
    text = (checkout.root / "configs" / "shop.yaml").read_text()
    assert "split: # at random, with the same share of each class; by time, a part would lack a class" in text
    assert load_project("shop").gate.min_rows == 30


def test_features_that_could_be_derived_are_proposed_and_work_when_they_are_taken(checkout):
    rng = np.random.default_rng(5)
    x = rng.normal(size=400)
    days = [str(datetime.date(2024, 1, 1) + datetime.timedelta(i)) for i in range(400)]
    rows = [[days[i], f"s {i // 2}", f"{x[i]:.3f}", str(int(x[i] > rng.normal()))] for i in range(400)]
    write(checkout.root / "rows.csv", [["when", "street", "x", "y"], *rows], encoding="utf-8")
    new("shop", "rows.csv", "y")
    path = checkout.root / "configs" / "shop.yaml"
    lines = path.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  # derive:"))
    proposed = [line.replace("  # ", "  ", 1) if "# derive" in line else line.replace("  #   ", "    ", 1)
                for line in lines[first : first + 5]]  # fmt: skip
    path.write_text("\n".join([*lines[:first], *proposed, *lines[first + 5 :]]))
    assert set(load_project("shop").features.derive) == {"when_month", "when_weekday", "when_hour", "street_top"}


def test_no_header_and_several_files(checkout):
    table = awkward(120)[1:]
    (checkout.root / "in").mkdir()
    write(checkout.root / "in" / "a.csv", table[:60], encoding="utf-8")
    write(checkout.root / "in" / "b.csv", table[60:], encoding="utf-8")
    new("shop", "in/*.csv", "column 10")
    project = load_project("shop")
    assert not project.data.source.header
    assert project.features.label == "column_10"
    assert taken("shop") == (120, 0)


def test_what_the_sample_did_not_show_is_found_in_all_rows(checkout, monkeypatch):
    monkeypatch.setattr("tasks.data.looking.SAMPLE", 200)
    rng = np.random.default_rng(0)
    lines = [
        f"{i},{v:.3f},{i % 9},{'yes' if v + rng.normal() > 0 else 'no'}" for i, v in enumerate(rng.normal(size=1000))
    ]
    lines[900] = lines[900].replace(f",{900 % 9},", ",,")  # a gap, far behind
    for i in range(500, 600):
        lines[i] = lines[i].replace(f",{i % 9},", ",odd,") if i % 2 else lines[i]
    lines[950] = lines[950].replace("950,", "950,x", 1)
    (checkout.root / "rows.csv").write_text("id,v,w,y\n" + "\n".join(lines))
    made = new("shop", "rows.csv", "y")
    columns = {column.name: column for column in made.found.columns}
    assert (columns["w"].values.dtype, columns["w"].role, columns["w"].nullable) == ("String", "left out", True)
    assert made.counts.invalid == 1
    assert taken("shop") == (999, 1)


NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=12),
    min_size=2, max_size=5,
)  # fmt: skip
CELLS = st.one_of(
    st.sampled_from(["", "?", "NA", "yes", "no", "007", "1.5", "1,5", "1.234,5", "31.01.2024", "null", "-", "inf"]),
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False).map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
)  # fmt: skip


@hypothesis_settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_new_writes_loads_and_takes_the_rows_it_was_made_of(checkout, data):
    """For any names and cells: the project is right, and exactly the rows that it said would be set aside are."""
    names = data.draw(NAMES)
    pool = [data.draw(st.lists(CELLS, min_size=1, max_size=4)) for _ in names]
    rng = np.random.default_rng(len(pool[0]))
    rows = [
        [cells[rng.integers(len(cells))] for cells in pool] + [f"{rng.normal():.3f}", rng.choice(["no", "yes"])]
        for i in range(60)
    ]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([[*names, "n", "the target"], *rows])
    (checkout.root / "any.csv").write_bytes(text.getvalue().encode())
    (checkout.root / "prefect.yaml").write_text("name: tiny\ndeployments: []\n")
    made = new("any", "any.csv", "the target", force=True)
    tree = yaml.safe_load((checkout.root / "configs" / "any.yaml").read_text())
    assert tree["name"] == "any"
    good, bad = taken("any")
    assert (good + bad, bad) == (60, made.counts.invalid)
