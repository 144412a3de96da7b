"""Messy tables, one for each trouble: each becomes a project whose model is trained and passes its gates, or is stopped
with a message that names the column and the mend."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.cli_new import as_text
from flows.new import new
from penstock.errors import DataError
from penstock.refs import Checked, DataFile, Dataset
from tasks.data.project import load_project, schema_text
from tasks.data.sources import load_source
from tasks.data.validation import check_batch
from tasks.store import store
from tasks.training.evaluation import evaluate_model
from tasks.training.gating import gate_candidate
from tasks.training.leaking import measure_features
from tasks.training.splitting import split_dataset
from tasks.training.training import train_model

N = 600
RNG = np.random.default_rng(11)
X = RNG.normal(size=N)
NOISE = RNG.normal(size=N)
LATE = X + NOISE / 3 > 0
YES = np.where(LATE, "yes", "no")
DAY = datetime.datetime(2024, 1, 31, 8)


@dataclass
class Table:
    """``columns`` as they stand in the file; ``wanted``: the role of each column (or a feature's group of words that
    its reason has), ``source``: what is written of how to read it."""

    columns: dict[str, Any]
    target: str = "late"
    task: str = "binary"
    split: str = "stratified"
    wanted: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # name: type, role, part of why or check
    source: dict[str, Any] = field(default_factory=dict)
    bad: int = 0
    separator: str = ","
    encoding: str = "utf-8"
    header: list[str] | None = None  # [] for none


def times(form: Callable[[int], str]) -> list[str]:
    return [(DAY + datetime.timedelta(hours=7 * i)).strftime(form(i)) for i in range(N)]


def text(values: Any, form: str = ".4f") -> list[str]:
    return [format(float(value), form) for value in values]


def gaps(values: list[str]) -> list[str]:
    words = ["?", "NA", "", "  "]
    return [words[i % 4] if i % 7 == 0 else value for i, value in enumerate(values)]


def german(values: Any) -> list[str]:
    return [f"{2000 + 400 * v:,.2f}".translate(str.maketrans(",.", ".,")) for v in values]


BASE = {"x": text(X), "late": YES}
TIME, NUMBER = "Datetime(time_unit='us')", ("Float64", "numeric", "numbers")
TABLES: dict[str, Table] = {
    "numbers stored as text": Table(
        {"paid": [f"${v:,.2f}" for v in 9000 + 900 * X], "share": [f"{v:.1f} %" for v in 50 + 9 * X], "late": YES},
        wanted={"paid": NUMBER, "share": NUMBER}, source={"thousands": ","},
    ),
    "booleans": Table(
        {**BASE, "a": np.where(X > 0.5, "ja", "nein"), "b": np.where(X > 1, "TRUE", "false"),
         "c": np.where(X > 0, "Y", "n"), "late": LATE.astype(int)},
        wanted={"a": ("Boolean", "numeric", "ja or nein"), "b": ("Boolean", "numeric", "TRUE"),
                "c": ("Boolean", "numeric", "Y or n"), "late": ("Boolean", "target", "True is 1")},
    ),
    "dates in several formats": Table(
        {"x": text(X), "ordered": times(lambda i: ["%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M", "%d %b %Y %H:%M"][i % 3]),
         "born": times(lambda i: "%m/%d/%Y"), "minutes": text(60 + 9 * X + 3 * NOISE)},
        "minutes", "regression", "time",
        wanted={"ordered": (TIME, "time", "3 formats"), "born": (TIME, "left out", "times"),
                "minutes": ("Float64", "target", "numbers")},
    ),
    "categories": Table(
        {"color": np.where(X < -0.4, "red", np.where(X < 0.4, "blue", "green")),
         "zip": RNG.choice(["01067", "50667"], N),
         "kind": np.where(X + NOISE / 5 < -0.4, "low", np.where(X + NOISE / 5 < 0.4, "mid", "high"))},
        "kind", "multiclass",
        wanted={"color": ("String", "categorical", "3 values"), "zip": ("String", "categorical", "code"),
                "kind": ("String", "target", "3 classes")},
    ),
    "high cardinality": Table(
        {**BASE, "street": [f"street {i // 2}" for i in range(N)],
         "note": [f"it was row {i // 2} of it" for i in range(N)]},
        wanted={"street": ("String", "left out", "high cardinality"), "note": ("String", "left out", "free text")},
    ),
    "ids": Table(
        {"order_id": range(N), "customer": [f"c{i % 120}" for i in range(N)],
         "uuid": [f"{i * 7919:08x}z" for i in range(N)], **BASE},
        split="group",
        wanted={"order_id": ("Int64", "id", "every row"), "customer": ("String", "group", "5.0 rows each"),
                "uuid": ("String", "id", "every row")},
    ),
    "constants": Table(
        {**BASE, "country": ["DE"] * N, "nothing": [""] * N, "zero": ["0"] * N},
        wanted={"country": ("String", "left out", "constant: DE"), "nothing": ("String", "left out", "no value"),
                "zero": ("Int64", "left out", "constant: 0")},
    ),
    "missing value tokens": Table(
        {"x": gaps(text(X)), "kind": gaps(list(RNG.choice(["a", "b"], N))), "late": YES},
        wanted={"x": NUMBER, "kind": ("String", "categorical", "2 values")}, source={"missing": ("?", "NA")},
    ),
    "mixed types": Table(
        {"x": ["oops" if i == 77 else v for i, v in enumerate(text(X))],
         "level": ["low" if i % 3 == 0 else str(i % 5) for i in range(N)], "late": YES},
        wanted={"x": ("Float64", "numeric", "'oops'"), "level": ("String", "categorical", "mixed")}, bad=1,
    ),
    "thousands separators": Table(
        {"amount": german(X), "whole": [f"{v:,}".replace(",", ".") for v in RNG.integers(0, 10**7, N)], "late": YES},
        wanted={"amount": NUMBER, "whole": ("Int64", "numeric", "whole")}, separator=";",
        source={"decimal": ",", "thousands": ".", "separator": ";"},
    ),
    "tabs, and counts": Table(
        {"x": text(X), "visits": RNG.poisson(np.exp(1 + 0.7 * X))}, "visits", "regression", "random",
        wanted={"visits": ("Int64", "target", "counts?")}, separator="\t", source={"separator": "\t"},
    ),
    "no header": Table(
        BASE, "column 2", wanted={"column_1": NUMBER, "column_2": ("Boolean", "target", "two values")}, header=[],
        source={"header": False},
    ),
    "quoted newlines": Table(
        {"x": text(X), "said": [f'he said: "no",\nand left; {i % 9}' for i in range(N)], "late": YES},
        wanted={"said": ("String", "categorical", "9 values")},
    ),
    "latin-1": Table(
        {"Größe": text(X), "Stadt": RNG.choice(["Köln", "Nürnberg"], N), "verspätet": np.where(LATE, "ja", "nein")},
        "verspätet", encoding="latin-1", source={"encoding": "cp1252"},
        wanted={"grosse": NUMBER, "verspatet": ("Boolean", "target", "True is ja")},
    ),
    "a byte order mark": Table(BASE, encoding="utf-8-sig", wanted={"x": NUMBER}, source={"encoding": "utf-8-sig"}),
    "duplicate names": Table(
        {"x": text(X), "again": text(NOISE), "late": YES}, header=["x", "x", "late"],
        wanted={"x": NUMBER, "x_2": NUMBER}, source={"rename": {"x (2)": "x_2"}},
    ),
    "spaces and symbols in names": Table(
        {"Price (€)": text(X), "% of all": text(NOISE), "is it  late?": YES, "a:b": text(X * NOISE)}, "is it late",
        wanted={"price": NUMBER, "percent_of_all": NUMBER, "is_it_late": ("Boolean", "target", "two values"),
                "a_b": NUMBER},
    ),
    "heavy imbalance": Table(
        {"x": text(X), "late": np.where(np.argsort(np.argsort(-X - NOISE / 9)) < 24, "yes", "no")},
        wanted={"late": ("Boolean", "target", "heavily imbalanced")},
    ),
}  # fmt: skip


def written(table: Table) -> bytes:
    made = io.StringIO(newline="")
    writer = csv.writer(made, delimiter=table.separator)
    header = list(table.columns) if table.header is None else table.header
    writer.writerows([header] if header else [])
    writer.writerows(zip(*table.columns.values(), strict=True))
    return made.getvalue().encode(table.encoding)


def trained(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, int]:
    """The gate's decision about a model of the project's rows, and how many rows were set aside; without DVC."""
    project = load_project(name)
    schema, source, good, bad = schema_text(project), load_source(project), [], 0
    for batch in source.names():
        found = source.read(batch)
        check = check_batch(found.rows, schema, project.data, batch, found.unread)
        good.append(check.good)
        bad += check.bad.height
    rows = pl.concat(good)
    with store.new_file("rows.parquet") as draft:
        rows.write_parquet(draft.path)
    monkeypatch.setattr("tasks.training.splitting.dataset_paths", lambda dataset: [store.locate(draft.ref)])
    dataset = Dataset(path="d", version="1" * 32 + ".dir", files=(DataFile(path="r.parquet", md5="1", size=1),))
    checked = Checked(report=store.put_json({}, "r.json"), excluded=None, rows=rows.height, invalid=0)
    features, target = project.features, project.train.target
    splits = split_dataset(dataset, checked, features, project.split, project.evaluate, project.train.task)
    model = train_model(splits, features, project.train)
    evaluation = evaluate_model(splits, model, features, project.evaluate, target)
    alone = measure_features(splits, features, project.train.task)
    gate, evaluate = (
        project.gate.model_copy(update={"max_single_feature": 1}),
        project.evaluate,
    )  # so few rows may do it
    return gate_candidate(evaluation, None, None, None, gate, evaluate, {}, None, None, alone, None), bad


@pytest.mark.parametrize("trouble", TABLES)
def test_a_messy_table_is_told_and_learnt(checkout, monkeypatch, trouble):
    table = TABLES[trouble]
    (checkout.root / "rows.csv").write_bytes(written(table))
    made = new("messy", "rows.csv", table.target)
    project = load_project("messy")
    assert (project.train.task, project.split_by, made.found.target.task) == (table.task, table.split, table.task)
    columns = {column.name: column for column in made.found.columns}
    for name, (dtype, role, said) in table.wanted.items():
        column = columns[name]
        assert (column.values.dtype, column.role) == (dtype, role), column
        assert said in f"{column.why}; {column.check}", column
    source = project.data.source.model_dump()
    assert {key: source[key] for key in table.source} == table.source
    assert made.counts.invalid == table.bad
    assert "next:" in as_text(made)
    decision, bad = trained("messy", monkeypatch)
    assert decision.passed, decision.reasons
    assert bad == table.bad
    if trouble == "heavy imbalance":
        assert "average_precision" in project.gate.metrics


STOPPED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a target of many texts": ({**BASE, "name": [f"n{i}" for i in range(N)]}, "name", "name another column, or group"),
    "a target with one value": ({**BASE, "always": ["yes"] * N}, "always", "take rows that have both"),
    "a target that is a time": ({**BASE, "when": times(lambda i: "%Y-%m-%d")}, "when", "name another column"),
    "a target that is mixed": (
        {**BASE, "mixed": [str(v) if i % 3 else f"t{i}" for i, v in enumerate(X)]}, "mixed", "name another column",
    ),
    "a class of three rows": (
        {**BASE, "kind": ["rare" if i < 3 else "ab"[i % 2] for i in range(N)]}, "kind", "take more rows of them",
    ),
    "only a leak": ({"twice": YES, "late": YES}, "late", "known before the outcome"),
    "only ids": ({"id": range(N), "late": YES}, "late", "known before the outcome"),
}  # fmt: skip


@pytest.mark.parametrize("trouble", STOPPED)
def test_what_cannot_be_learnt_is_stopped_with_the_column_and_the_mend(checkout, trouble):
    columns, target, mend = STOPPED[trouble]
    (checkout.root / "rows.csv").write_bytes(written(Table(columns)))
    with pytest.raises(DataError) as caught:
        new("messy", "rows.csv", target)
    said = caught.value.text()
    assert mend in caught.value.next_step
    assert (target if target != "late" else next(iter(columns))) in said
    assert not (checkout.root / "configs" / "messy.yaml").exists()


RAGGED = "x,late\n" + "1,yes\n2,no\n" * 60 + "3,4,yes\n" + "1,yes\n" * 9


@pytest.mark.parametrize(
    ("content", "target", "said"),
    [
        (b"x,late\n" + b"1,yes\n2,no\n" * 60 + b'3,"yes\n', "late", "rows.csv:122"),  # a quote without an end
        (RAGGED.encode(), "late", "rows.csv:122"),
        (b"late\n" + b"yes\nno\n" * 60, "late", "Nothing is left"),
        (b"\xff\xfe" + "x,late\n1,yes\n".encode("utf-16-le") * 30, "gone", "no column `gone`"),
        (b"\n\n" + written(Table(BASE)), "late", "before the header"),
    ],
)  # fmt: skip
def test_a_broken_file_gets_a_message_with_the_mend(checkout, content, target, said):
    (checkout.root / "rows.csv").write_bytes(content)
    found = checkout.penstock("new", "messy", "rows.csv", "--target", target)
    assert "Traceback" not in found.stderr
    assert said in found.stderr
    assert found.returncode == 4
    assert "next:" in found.stderr, found.stderr
