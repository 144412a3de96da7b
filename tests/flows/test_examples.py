"""The example projects of the repository, from their own configs: trained, packaged and asked; one of them deployed."""

from __future__ import annotations

import json
import shutil
import urllib.request

import numpy as np
import polars as pl
import pytest
import yaml

from flows.deploy import deploy
from flows.ingest import ingest
from flows.score import score
from flows.train import train
from penstock.candidate import Outcome
from tasks.data.project import load_project
from tasks.data.sources import load_source
from tasks.platform import platform
from tasks.rollout.rollback import answering
from tasks.serving import serving
from tasks.store import store
from tests.conftest import REPOSITORY
from tests.conftest import _merge as merge

ROLLOUT = {
    "replay_rate": 200,
    "replay_requests": 50,
    "shadow_seconds": 0.5,
    "steps": [50],
    "step_seconds": 0.5,
    "bake_seconds": 0.5,
    "min_requests": 20,
}
SMALL = {
    "airtime": {
        "data": {"until": "2013-01"},
        "train": {"rounds": 40, "params": {"max_depth": 5, "eta": 0.3}},
        "gate": {"min_rows": 1000, "metrics": {"r2": {"min": 0.9}}, "slices": None},
    },
    "stranded": {
        "data": {"until": "2013-02"},
        "train": {"rounds": 20, "params": {"max_depth": 4, "eta": 0.1}},
        "gate": {"min_rows": 1000, "min_positives": 20, "metrics": {"calibration_error": None}},
    },
    "digits": {"train": {"rounds": 25, "params": {"eta": 0.4}}},
}


@pytest.fixture(scope="module")
def joined():
    """The flights, read once for all tests."""
    from examples import flights

    return flights._joined()


@pytest.fixture
def example(checkout, request, joined):
    """The project of that name in the checkout, with small settings."""
    name = request.param
    shutil.copytree(REPOSITORY / "configs", checkout.root / "configs", dirs_exist_ok=True)
    path = checkout.root / "configs" / f"{name}.yaml"
    tree = yaml.safe_load(path.read_text())
    merge(tree, SMALL[name])
    merge(tree, {"rollout": ROLLOUT, "package": {"check_rows": 20}})
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return name


def trained(name: str):
    project = load_project(name)
    ingest.fn(name, until=project.data.until or load_source(project).names()[-1])
    outcome = train.fn(name)
    assert isinstance(outcome, Outcome), outcome
    return outcome


def metrics(outcome) -> dict:
    return store.read_json(outcome.candidate.evaluation.metrics)


def scored(outcome, example: str, folder) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(what a file of the test rows is given, what evaluation computed of them)."""
    source, output = folder / "in.parquet", folder / "out.parquet"
    splits, features = outcome.candidate.splits, load_project(example).features
    pl.read_parquet(store.locate(splits.test)).select(features.names).write_parquet(source)
    score.fn(example, str(source), str(output))
    return pl.read_parquet(output), pl.read_parquet(store.locate(outcome.candidate.evaluation.predictions))


@pytest.mark.parametrize("example", ["airtime", "stranded"], indirect=True)
def test_an_example_becomes_a_release(example, tmp_path):
    outcome = trained(example)
    assert (outcome.release.verdict, outcome.candidate.check.max_difference) == ("blessed", 0)
    found = metrics(outcome)
    if example == "stranded":
        assert found["positives"] / found["rows"] < 0.03
        assert found["naive"]["majority"]["accuracy"] > 0.97
        assert found["metrics"]["average_precision"] > found["naive"]["majority"]["average_precision"]
    else:
        assert set(found["naive"]) == {"mean", "last value"}
    file, known = scored(outcome, example, tmp_path)
    names = ("prediction", "prediction") if example == "airtime" else ("probability", "score")
    np.testing.assert_array_equal(file[names[0]].to_numpy(), known[names[1]].to_numpy())
    report = store.read_bytes(outcome.report).decode()
    assert ("Residuals" in report, "ROC" in report) == (example == "airtime", example == "stranded")


@pytest.mark.parametrize("example", ["digits"], indirect=True)
def test_digits_are_deployed_and_read(example, tmp_path):
    outcome = trained(example)
    assert metrics(outcome)["classes"] == [str(digit) for digit in range(10)]
    assert "Confusion matrix" in store.read_bytes(outcome.report).decode()
    file, known = scored(outcome, example, tmp_path)
    assert file["prediction"].to_list() == known["class"].to_list()
    by_class = [f"probability_{digit}" for digit in range(10)]
    np.testing.assert_array_equal(file.select(by_class).to_numpy(), known["probabilities"].to_numpy())
    try:
        assert deploy.fn(example).result == "healthy"
        assert answering(example) == "digits-v1"
        test = pl.read_parquet(store.locate(outcome.candidate.splits.test)).head(50)
        rows = test.select(load_project(example).features.names).to_dicts()
        request = urllib.request.Request(
            f"{serving.address()}/{example}/v1/predict", json.dumps(rows).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            said = json.loads(answer.read())
        assert np.mean(np.array(said["predictions"]) == test["digit"].to_numpy()) > 0.8
    finally:
        platform.down()
