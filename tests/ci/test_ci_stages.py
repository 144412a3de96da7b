"""Each stage's own commands, run in a fresh clone, from the first commit to a release that serves."""

from __future__ import annotations

import json
import re
import shutil

import psutil
import pytest

from penstock.ci import INSTALL, STAGES
from tests.ci.ci_facts import REPOSITORY
from tests.ci.clones import git, team
from tests.conftest import TINY

COMMANDS = {stage.name: (*INSTALL, *stage.commands) for stage in STAGES}
AUTHOR = {"GIT_AUTHOR_NAME": "ci", "GIT_AUTHOR_EMAIL": "ci@localhost", "GIT_COMMITTER_NAME": "ci",
          "GIT_COMMITTER_EMAIL": "ci@localhost"}  # fmt: skip


@pytest.fixture(scope="module")
def ours(tmp_path_factory, environments, template, prefect_api):
    made = team(tmp_path_factory.mktemp("team"), TINY, environments, template, prefect_api)
    yield made
    made.run(made.folder / "made", ("uv run penstock down",), PENSTOCK_HOME=str(made.home))


def found(place, stage):
    return json.loads((place / ".penstock" / "ci" / f"{stage}.json").read_text())


def changed(ours, name, old, new):
    """A branch of that name with one change of the project's YAML."""
    place = ours.clone(f"work-{name}")
    path = place / "configs" / "tiny.yaml"
    path.write_text(path.read_text().replace(old, new))
    git(place, "commit", "--quiet", "--all", "--message", name)
    git(place, "push", "--quiet", "origin", f"HEAD:{name}")
    return ours.clone(name, name)


@pytest.mark.timeout(480)
def test_a_release_path_from_the_schedule_to_production(ours):
    """The schedule ingests and pushes; main trains what git pins, and deploys that very release."""
    nightly = ours.clone("nightly")
    untold = ours.run(nightly, COMMANDS["retrain"], **AUTHOR)
    assert untold.returncode and "BRANCH_NAME" in untold.stderr  # it guesses no branch
    said = ours.run(nightly, COMMANDS["retrain"], GITHUB_REF_NAME="main", **AUTHOR)
    assert said.returncode == 0, said.stderr
    pushed = git(ours.origin, "log", "-1", "--format=%s %an", "main").strip()
    assert pushed == "data: tiny b1, b2, b3 ci"

    main = ours.clone("main")
    assert (main / "data" / "tiny.dvc").is_file()
    for stage in ("check", "data"):
        said = ours.run(main, COMMANDS[stage])
        assert said.returncode == 0, said.stderr
    assert [check["command"] for check in found(main, "check")["found"]["own"]] == [
        "ruff format --check .", "ruff check .",
    ]  # fmt: skip
    refused = ours.run(main, COMMANDS["release"], GITHUB_ACTIONS="true")
    assert refused.returncode == 2 and "A release needs a home that outlives the job" in refused.stderr
    home = {
        "PENSTOCK_HOME": str(ours.home),
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTOR": "ada",
        "RUNNER_TRACKING_ID": "github_1",
    }
    (main / "configs" / "tiny.yaml").write_text((main / "configs" / "tiny.yaml").read_text() + "\n# by hand\n")
    dirty = ours.run(main, COMMANDS["release"], **home)
    assert dirty.returncode == 2 and "CI releases what is committed" in dirty.stderr
    git(main, "checkout", "--quiet", ".")
    said = ours.run(main, COMMANDS["release"], **home)
    assert said.returncode == 0, said.stderr
    commit = git(main, "rev-parse", "HEAD").strip()
    assert said.stdout.splitlines()[-2:] == [
        f"tiny-v1: registered, of commit {commit[:12]}", "  next:    penstock deploy tiny tiny-v1",
    ]  # fmt: skip
    again = ours.clone("main-deploy")
    said = ours.run(again, COMMANDS["deploy"], **home)
    assert said.returncode == 0, said.stderr
    assert "tiny-v1: there already" in said.stdout
    [pid] = [path.read_text() for path in ours.home.rglob("supervisord.pid")]
    assert "RUNNER_TRACKING_ID" not in psutil.Process(int(pid)).environ()  # by it a runner would end what serves
    events = [json.loads(path.read_text()) for path in sorted((ours.home / "ledger" / "tiny").glob("*.json"))]
    assert [event["kind"] for event in events] == ["registered", "staged", "promoted", "healthy"]
    assert events[0]["facts"]["commit"] == commit and events[0]["by"] == "ada (GitHub Actions)"


def test_a_pull_request_beside_its_base_and_the_champion(ours):
    """It learns from the sample, it is told of, and the ledger never hears of it."""
    place = changed(ours, "shallow", "max_depth: 3", "max_depth: 2")
    before = sorted((ours.home / "ledger" / "tiny").glob("*.json"))
    for stage in ("check", "data", "train", "report"):
        said = ours.run(place, COMMANDS[stage], PENSTOCK_HOME=str(ours.home))
        assert said.returncode == 0, (stage, said.stderr)
    assert sorted((ours.home / "ledger" / "tiny").glob("*.json")) == before
    [trained] = found(place, "train")["found"]
    base = git(place, "rev-parse", "origin/main").strip()
    assert (trained["base"], trained["champion"]) == (f"base {base[:8]}", "tiny-v1")
    assert trained["config"] == [{"key": "train.params.max_depth", "before": "3", "after": "2"}]
    [data] = found(place, "data")["found"]
    assert trained["rows"][0] < data["splits"][0] / 1.9 and trained["rows"][2] == data["splits"][2]
    auc = trained["metrics"][0]
    assert auc["low"] < auc["value"] < auc["high"] and auc["base"]["low"] < auc["base"]["change"] < auc["base"]["high"]
    assert data["against"] == "tiny-v1, the champion" and not data["moved"]
    train = next(step for step in trained["steps"] if step["name"] == "train model")
    assert train["ran"]
    text = (place / ".penstock" / "ci" / "report.md").read_text()
    assert "`train.params.max_depth` | `3` | `2`" in text and "tiny-v1 (all rows)" in text
    rows = re.compile(r"b\d-\d+")  # ids of rows
    for name in ("report.md", "report.html", "report.json"):
        assert not rows.search((place / ".penstock" / "ci" / name).read_text()), name
    shutil.copytree(place / ".penstock" / "ci", ours.folder / "report", dirs_exist_ok=True)


def test_a_pull_request_reads_the_champion_from_the_shared_store_and_writes_nothing_there(ours):
    store = ours.folder / "store"
    for name in ("store", "cache", "ledger"):
        shutil.copytree(ours.home / name, store / name)
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    place = changed(ours, "deeper", "max_depth: 3", "max_depth: 4")
    said = ours.run(place, COMMANDS["train"], PENSTOCK_STORE=str(store))
    assert said.returncode == 0, said.stderr
    [trained] = found(place, "train")["found"]
    assert (trained["champion"], trained["why_no_champion"]) == ("tiny-v1", "")
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
    assert any((place / ".penstock" / "cache").iterdir())  # what it made is its own


@pytest.mark.parametrize(
    ("name", "old", "new", "stage", "code", "said"),
    [
        ("strict", "auc: { min: 0.6,", "auc: { min: 0.99,", "train", 3, "rejected by its gates"),
        ("misspelt", "rounds: 30", "round: 30", "check", 2, "did you mean `rounds`"),
        ("lint", "ROWS = 500", "import os\nROWS = 500", "check", 11, "The checkout's own checks failed"),
    ],
)
def test_a_stage_that_fails_ends_with_its_exit_code_and_is_reported(ours, name, old, new, stage, code, said):
    if name == "lint":
        place = ours.clone(name)
        source = place / "tiny_source.py"
        source.write_text(source.read_text().replace(old, new))
    else:
        place = changed(ours, name, old, new)
    ended = ours.run(place, COMMANDS[stage])
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert ours.run(place, COMMANDS["report"]).returncode == 0
    report = (place / ".penstock" / "ci" / "report.md").read_text()
    assert report.splitlines()[1].startswith("## ✗ Penstock")
    if stage == "train":  # without the ledger it says that it cannot know, as in the pull request of a fork
        unknown = "it is unknown here, for this stage sees no ledger: PENSTOCK_STORE is not set"
        assert unknown in report and unknown in (place / ".penstock" / "ci" / "report.html").read_text()


def test_a_tag_is_a_release_path_whatever_the_working_tree_says(ours):
    """`--from-ref` finds the release of the tag's commit, from a tree that says something else."""
    place = ours.clone("tagged", "shallow")
    git(place, "tag", "release-1", "origin/main")
    (place / "configs" / "tiny.yaml").write_text("not even YAML: [")
    git(place, "checkout", "--quiet", ".")
    home = {"PENSTOCK_HOME": str(ours.home)}
    said = ours.run(place, ("uv run penstock release tiny --from-ref release-1 --deploy --tag",), **home)
    assert said.returncode == 0, said.stderr
    assert "tiny-v1: there already" in said.stdout and "tag:     tiny-v1" in said.stdout
    tagged = git(ours.origin, "rev-parse", "tiny-v1^{commit}").strip()
    assert tagged == git(place, "rev-parse", "release-1^{commit}").strip()
    assert git(place, "worktree", "list").count("\n") == 1
    wrong = ours.run(place, ("uv run penstock release tiny --from-ref nothing",), **home)
    assert wrong.returncode == 2 and "There is no such git ref" in wrong.stderr


def test_the_commands_are_those_of_the_files():
    assert COMMANDS["train"][-1] in (REPOSITORY / ".gitlab-ci.yml").read_text()
