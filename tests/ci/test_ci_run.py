"""Which CI system this is, which change, and what it is compared with; sampled splits; a base that cannot be read."""

from __future__ import annotations

import polars as pl
import pytest

from penstock.errors import ConfigError
from penstock.refs import Splits
from tasks.ci import ci_run
from tasks.ci.ci_base import base_of
from tasks.ci.ci_run import CiRun, base_commit, running
from tasks.data.project import load_project
from tasks.store import store
from tasks.training.sampling import sample_splits
from tests.ci.clones import git

SYSTEMS = {
    "github": (
        {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/12/merge", "GITHUB_BASE_REF": "main", "GITHUB_RUN_ID": "5",
         "GITHUB_SERVER_URL": "https://host", "GITHUB_REPOSITORY": "us/model"},
        CiRun(system="github", change="12", target="main", url="https://host/us/model/actions/runs/5"),
    ),
    "gitlab": (
        {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "12", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "next",
         "CI_PIPELINE_URL": "https://host/5"},
        CiRun(system="gitlab", change="12", target="next", url="https://host/5"),
    ),
    "circleci": (
        {"CIRCLECI": "true", "CIRCLE_PULL_REQUEST": "https://host/us/model/pull/12", "CIRCLE_BUILD_URL": "https://c/5"},
        CiRun(system="circleci", change="12", url="https://c/5"),
    ),
    "jenkins": (
        {"JENKINS_URL": "https://j", "CHANGE_ID": "12", "CHANGE_TARGET": "main", "BUILD_URL": "https://j/5"},
        CiRun(system="jenkins", change="12", target="main", url="https://j/5"),
    ),
}  # fmt: skip


@pytest.fixture
def alone(monkeypatch):
    """No CI system but what a test says."""
    for variables, _ in SYSTEMS.values():
        for name in variables:
            monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_system_says_which_change_it_is(alone, system):
    assert running() == CiRun()
    variables, expected = SYSTEMS[system]
    for name, text in variables.items():
        alone.setenv(name, text)
    assert running() == expected


def test_the_base_is_where_the_branch_left_its_target(checkout, alone):
    root = checkout.root
    assert base_commit() == ""
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "one")
    first = git(root, "rev-parse", "HEAD").strip()
    assert base_commit() == ""
    git(root, "checkout", "--quiet", "-b", "feature")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "mine")
    mine = git(root, "rev-parse", "HEAD").strip()
    git(root, "checkout", "--quiet", "main")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    assert base_commit() == first  # of main itself: the one before
    git(root, "checkout", "--quiet", "feature")
    assert base_commit() == first
    assert base_commit("feature") == mine
    with pytest.raises(ConfigError, match="no such git revision"):
        base_commit("nothing")


def test_a_base_that_is_not_there_or_cannot_be_read_is_none_and_says_why(checkout, alone):
    root = checkout.root
    good = (root / "configs" / "tiny.yaml").read_text()
    git(root, "init", "--quiet", "--initial-branch", "main")
    (root / "configs" / "tiny.yaml").write_text(good + "unknown: 1\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "wrong")
    (root / "configs" / "tiny.yaml").write_text(good)
    wrong = base_of("tiny", ci_run.commit_of("HEAD"), None)
    assert wrong.project is None and wrong.name == "" and "cannot be read" in wrong.why_not
    assert "is not at" in base_of("other", ci_run.commit_of("HEAD"), None).why_not
    assert base_of("tiny", "", None).why_not == ci_run.NO_BASE
    git(root, "commit", "--quiet", "--all", "--message", "right")
    right = base_of("tiny", ci_run.commit_of("HEAD"), None)
    assert right.project == load_project("tiny") and right.name.startswith("base ")


def test_the_function_of_a_base_is_the_one_that_it_had(checkout, alone):
    root = checkout.root
    file = root / "tiny_features.py"
    file.write_text("def make(columns):\n    return {'more': columns['size'] + 1}\n")
    python = {"call": "tiny_features:make", "columns": {"size": "number"}, "features": ["more"]}
    checkout.change(features={"python": python})
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "one")
    before = load_project("tiny")
    file.write_text(file.read_text().replace("+ 1", "+ 2"))
    assert base_of("tiny", ci_run.commit_of("HEAD"), None).project == before != load_project("tiny")
    git(root, "rm", "--quiet", "--cached", file.name)
    git(root, "commit", "--quiet", "--message", "gone")
    assert "cannot be used" in base_of("tiny", ci_run.commit_of("HEAD"), None).why_not


def test_a_sample_has_fewer_rows_to_learn_from_and_all_to_judge_by(home):
    refs = {}
    for name, rows in (("train", 100), ("validation", 40), ("test", 40)):
        with store.new_file(f"{name}.parquet") as draft:
            pl.DataFrame({"late": [row % 4 == 0 for row in range(rows)], "x": range(rows)}).write_parquet(draft.path)
        refs[name] = draft.ref
    other = store.put_json({}, "x.json")
    splits = Splits(**refs, categories=other, summary=other, rows=(100, 40, 40))

    class Features:
        label = "late"

    sample = sample_splits.fn(splits, Features, "binary", 0.2, 7)
    assert sample.rows == (20, 8, 40) and sample.test == splits.test
    frame = pl.read_parquet(store.locate(sample.train))
    assert frame["late"].sum() == 5 and frame["x"].is_sorted() and frame["x"].n_unique() == 20
    assert sample_splits.fn(splits, Features, "binary", 0.2, 7) == sample
    assert sample_splits.fn(splits, Features, "binary", 1, 7) is splits
