"""Derived features through the whole of a project: trained, judged, packaged, served."""

from __future__ import annotations

import io
import json
import subprocess
from types import SimpleNamespace

import polars as pl
import pyarrow as pa
import pytest

from penstock.comparison import changes
from penstock.config import FeaturesConfig, Project
from penstock.errors import ConfigError
from penstock.model import load, recipe
from penstock.schema import compile_spec, parse_schema
from tasks.data.project import load_project, schema_text
from tasks.packaging.model_server import running_server, unpacked
from tasks.packaging.reproducing import _lay_out
from tasks.packaging.serving_env import serving_python
from tasks.scoring.batch_basis import basis
from tasks.scoring.batch_rows import Scorer
from tasks.store import store
from tasks.store.source import closure
from tasks.training.behaving import try_behaviour
from tasks.training.evaluation import evaluate_model
from tasks.training.leaking import measure_features
from tasks.training.samples import json_rows, sample_rows
from tasks.training.splitting import split_dataset
from tests.trained import Client, Trained

DERIVE = {
    "hour": {"part": "hour", "of": "at"},
    "weekday": {"part": "weekday", "of": "at"},
    "log_size": {"log": "size", "plus": 1},
    "few_seats": {"clip": "seats", "max": 100},
    "share": {"ratio": ["size", "seats"]},
    "rain": {"rename": "wet", "kind": "number"},
    "seats_text": {"cast": "seats", "to": "text"},
    "paint": {"group": "color", "into": {"warm": ["red"]}, "other": "cold"},
    "main_color": {"group": "color", "top": 2},
}
NAMES = ("size", *sorted(DERIVE))
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def trained(checkout, monkeypatch) -> Trained:
    checkout.change(features={"categorical": [], "numeric": ["size"], "derive": DERIVE})
    return Trained(monkeypatch)


def test_a_release_with_every_operation_answers_what_training_computed(trained, checkout):
    features, splits = trained.project.features, trained.splits
    assert features.names == NAMES and set(features.inputs) == {"size", "at", "seats", "wet", "color"}
    package = trained.package()
    check = trained.check(package)
    assert (check.rows, check.max_difference) == (50, 0.0)

    frame = sample_rows(splits, features, 50).drop("__row__")
    rows = json_rows(frame)
    bento = unpacked(package)
    with running_server(bento, serving_python(bento / "src" / "requirements.txt")) as server:
        client = Client(server.address)
        status, body, _ = client("POST", "/v1/predict", json.dumps(rows), content_type="application/json")
        assert status == 200
        scores = json.loads(body)["probabilities"]
        sink = io.BytesIO()
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        status, body, _ = client("POST", "/v1/predict", sink.getvalue(), content_type=ARROW)
        assert status == 200 and json.loads(body)["probabilities"] == scores

        status, body, _ = client("POST", "/v1/explain", json.dumps(rows[:3]), content_type="application/json")
        said = json.loads(body)
        assert status == 200 and [tuple(one) for one in said["contributions"]] == [NAMES] * 3
        for parts, bias, margin in zip(said["contributions"], said["bias"], said["margins"], strict=True):
            assert sum(parts.values()) + bias == pytest.approx(margin, abs=1e-4)

        wrong = {**rows[0], "at": "tomorrow"}
        status, body, _ = client("POST", "/v1/predict", json.dumps([rows[0], wrong]), content_type="application/json")
        [problem] = json.loads(body)["problems"]
        assert status == 422 and (problem["row"], problem["field"]) == (1, "at")
        status, body, _ = client("GET", "/v1/openapi.json")
        row = json.loads(body)["components"]["schemas"]["Row"]
        assert sorted(row["required"]) == ["at", "color", "size", "wet"]
        assert row["properties"]["at"] == {"type": "string", "format": "date-time"}


def test_the_model_carries_its_recipe_and_is_judged_by_it(trained, checkout):
    """A champion of other features is scored on the same rows, as long as these have its columns."""
    splits, project = trained.splits, trained.project
    booster = load(store.read_bytes(trained.model.booster))
    carried, known = recipe(booster, "late")
    assert carried.derive == project.features.derive and carried.names == NAMES
    assert known == store.read_json(splits.categories)
    assert len(known["main_color"]) == 3 and "other" in known["main_color"]

    columns = {"numeric": ("size", "seats", "wet"), "categorical": ("color",)}
    other = project.features.model_copy(update={"derive": {}, **columns})
    target = project.train.target
    found = evaluate_model(splits, trained.model, other, project.evaluate, target)
    why = store.read_json(found.metrics)["incomparable"]
    assert why == "it needs at, which is no feature now"

    other = FeaturesConfig(label="size", numeric=("seats", "wet"), categorical=("color",))
    found = evaluate_model(splits, trained.model, other, project.evaluate, target)
    why = store.read_json(found.metrics)["incomparable"]
    assert why == "it needs at, size, which are no feature now"  # the label was a feature then

    other = project.features.model_copy(update={"derive": {}, **columns})
    derive = {name: one for name, one in project.features.derive.items() if name in ("hour", "share", "seats_text")}
    other = other.model_copy(update={"derive": derive})
    found = evaluate_model(splits, trained.model, other, project.evaluate, target)
    assert found.predictions == trained.evaluation.predictions
    features = {one["feature"] for one in store.read_json(found.metrics)["importance"]}
    assert features == set(NAMES)


def test_each_feature_is_measured_alone_and_behaviour_is_tried_on_columns(trained):
    project = trained.project
    alone = dict(measure_features(trained.splits, project.features, "binary").features)
    assert set(alone) == set(NAMES)
    assert alone["log_size"] == pytest.approx(alone["size"], abs=0.01)
    tests = {
        "larger": {"direction": {"feature": "size", "add": 30, "score": "up", "tolerance": 0.2, "max_share": 0.2}},
        "when": {"example": {"rows": [{"at": "2024-05-01T10:00:00Z", "size": 90, "color": "red"}], "min": 0.5}},
        "paint": {"invariance": {"feature": "color", "values": ["violet", None], "max_share": 1}},
    }
    tree = {**project.model_dump(by_alias=True), "behaviour": tests}
    tried = try_behaviour(
        trained.splits, trained.model, trained.evaluation, project.features, Project.model_validate(tree).behaviour
    ).tried
    assert not [one.problem for one in tried.values() if one.problem]
    assert tried["larger"].rows > 100 and tried["when"].broken == 0


@pytest.mark.parametrize(
    ("derive", "said"),
    [
        ({"far": {"log": "color"}}, "`features.derive.far` names `color`, which is String"),
        ({"far": {"log": "width"}}, "`features.derive.far` names the column `width`"),
        ({"far": {"part": "hour", "of": "size"}}, "which is Float32"),
        ({"far": {"cast": "size", "to": "text"}}, "which is Float32"),
        ({"id": {"log": "size"}}, "`features.derive` has a feature `id`, and so is a column called"),
    ],
)
def test_a_recipe_that_the_schema_does_not_bear_is_refused(checkout, derive, said):
    checkout.change(features={"derive": derive})
    with pytest.raises(ConfigError) as caught:
        load_project("tiny")
    assert said in caught.value.what and caught.value.allowed


FUNCTION = """\
import numpy as np


def make(columns):
    hour = columns["at"].astype("datetime64[h]").astype(int) % 24
    return {"night": hour < 6, "root": np.sqrt(columns["size"])}
"""
PYTHON = {
    "call": "parts.tiny_features:make",
    "columns": {"size": "number", "at": "time"},
    "features": ["night", "root"],
}


def with_function(checkout, text: str = FUNCTION) -> None:
    path = checkout.root / "parts" / "tiny_features.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    checkout.change(features={"derive": {"log_size": {"log": "size"}}, "python": PYTHON})


def test_a_function_of_the_checkout_is_part_of_the_model_and_of_its_package(checkout, monkeypatch):
    with_function(checkout)
    trained = Trained(monkeypatch)
    assert trained.project.features.names == ("color", "size", "seats", "wet", "log_size", "night", "root")
    package = trained.package()
    (checkout.root / "parts" / "tiny_features.py").unlink()  # a server has it all
    assert trained.check(package).max_difference == 0.0
    bento = unpacked(package)
    with running_server(bento, serving_python(bento / "src" / "requirements.txt")) as server:
        _, body, _ = Client(server.address)("GET", "/v1/model")
    assert "root" in json.loads(body)["schema"]["recipe"]["features"] and b"np.sqrt" not in body
    carried, _ = recipe(load(store.read_bytes(trained.model.booster)), "late")
    assert carried.python == trained.project.features.python
    recorded = json.loads(json.dumps(trained.project.model_dump(mode="json", by_alias=True), sort_keys=True))
    assert Project.model_validate(recorded) == trained.project

    with_function(checkout, FUNCTION.replace("< 6", "< 7"))
    keys = [split_dataset.key({"features": project.features})[0] for project in (trained.project, load_project("tiny"))]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FUNCTION.replace('columns["size"])}', 'columns["size"]) - columns["size"].mean()}'), "`root` of"),
        (FUNCTION.replace("< 6", "< 1 // 0"), "did not make its features"),
    ],
)
def test_a_function_that_would_be_skew_stops_training(checkout, monkeypatch, text, said):
    with_function(checkout, text)
    with pytest.raises(ConfigError) as caught:
        Trained(monkeypatch)
    assert said in caught.value.what and caught.value.next_step


@pytest.mark.parametrize(
    ("text", "said"),
    [("import polars\n" + FUNCTION, "line 1 imports polars"), ("", "it has no function `make`"), (None, "there is no")],
)
def test_a_function_that_cannot_be_packaged_is_refused_at_once(checkout, text, said):
    with_function(checkout, text or "")
    if text is None:
        (checkout.root / "parts" / "tiny_features.py").unlink()
    with pytest.raises(ConfigError) as caught:
        load_project("tiny")
    assert said in caught.value.found


def test_the_source_of_a_function_is_named_by_its_hash_where_releases_are_compared():
    [change] = changes({"python": {"source": FUNCTION}}, {"python": {"source": FUNCTION.replace("6", "7")}})
    assert change.key == "python.source" and change.before != change.after
    assert change.before.startswith("6 lines, ")


def test_what_makes_a_feature_is_in_the_identity_of_what_is_made_with_it():
    for module in (
        "tasks.training.splitting",
        "tasks.training.training",
        "tasks.training.evaluation",
        "tasks.packaging.packaging",
    ):
        files = {"derive", "derive_config", "features", "python_config", "python_features", "times"}
        assert {f"penstock/{name}.py" for name in files} <= set(closure(module)), module


COUNTS_ON_TEXT = """\
import numpy as np


def make(columns):
    return {"letters": np.array([len(text) for text in columns["color"]])}
"""


def test_a_function_is_not_given_rows_of_a_file_that_are_refused(checkout, monkeypatch):
    """What the schema says of its columns holds, as in a request."""
    with_function(checkout, COUNTS_ON_TEXT)
    python = {**PYTHON, "columns": {"color": "text"}, "features": ["letters"]}
    checkout.change(features={"categorical": [], "derive": {}, "python": python})
    trained = Trained(monkeypatch)
    project, schema = trained.project, schema_text(trained.project)
    config = project.model_dump(mode="json", by_alias=True)
    spec = compile_spec(parse_schema(schema, ""), project.features, {}, project.package)
    kept = SimpleNamespace(config=store.put_json(config, "c"), schema_text=store.put_bytes(schema.encode(), "s"))
    package = SimpleNamespace(schema_spec=store.put_json(spec, "spec.json"))
    made = SimpleNamespace(lineage=kept, package=package, model=trained.model, evaluation=trained.evaluation)
    scorer = Scorer(basis(SimpleNamespace(version="tiny-v1", candidate=made), project, ()), 2)
    frame = sample_rows(trained.splits, trained.project.features, 4).drop("__row__")
    wrong = frame.with_columns(pl.Series("color", [None, *frame["color"].to_list()[1:]]))
    found = scorer.answer(wrong, 0)
    assert found.place.to_list() == [1, 2, 3]
    assert found.refused["row"].to_list() == [0] and found.refused["column"].to_list() == ["color"]
    assert found.scores.tolist() == scorer.answer(frame, 0).scores.tolist()[1:]
    nothing = scorer.answer(wrong.head(1), 0)
    assert nothing.place.is_empty() and len(nothing.scores) == 0


def test_a_release_is_made_again_with_the_source_that_it_had(checkout, tmp_path, monkeypatch):
    """The record has the source in the config, and no project's file may have it."""
    with_function(checkout)
    for words in ("init --quiet", "add configs parts", "-c user.name=a -c user.email=a@b commit -qm one"):
        subprocess.run(["git", "-C", str(checkout.root), *words.split()], check=True)
    project = load_project("tiny")
    commit = subprocess.run(["git", "-C", str(checkout.root), "rev-parse", "HEAD"], capture_output=True, text=True)
    recorded = SimpleNamespace(
        project="tiny",
        git_commit=commit.stdout.strip(),
        config=store.put_json(project.model_dump(mode="json", by_alias=True), "config.json"),
        schema_text=store.put_bytes(schema_text(project).encode(), "schema.yaml"),
    )
    (tmp_path / "again").mkdir()
    _lay_out(tmp_path / "again", SimpleNamespace(lineage=recorded))
    monkeypatch.setenv("PENSTOCK_ROOT", str(tmp_path / "again"))
    assert load_project(tmp_path / "again" / "configs" / "tiny.yaml") == project
