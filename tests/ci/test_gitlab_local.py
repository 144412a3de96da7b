"""The GitLab pipeline as gitlab-ci-local really runs it, with its shell executor, in a fresh clone."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.ci.ci_facts import REPOSITORY
from tests.ci.clones import git, team
from tests.conftest import TINY

PROGRAM = REPOSITORY / ".ci" / "tools" / "node_modules" / ".bin" / "gitlab-ci-local"


@pytest.fixture(scope="module")
def ours(tmp_path_factory, environments, template, prefect_api):
    for name in ("node", "rsync"):
        if not shutil.which(name):
            pytest.skip(f"no {name} here: the GitLab pipeline was not run")
    if not PROGRAM.exists():
        pytest.skip("no gitlab-ci-local here (npm ci --prefix .ci/tools --ignore-scripts): the pipeline was not run")
    return team(tmp_path_factory.mktemp("team"), TINY, environments, template, prefect_api)


def pipeline(ours, place, *options, **variables):
    """What it said. Each job has a folder of its own, and gets what caches and artifacts bring."""
    environment = {name: text for name, text in ours.environment(place).items() if name != "PENSTOCK_ROOT"}
    environment["SHLVL"] = "5"  # else bash takes its stdin for a network's, and reads the person's own profile
    given = [word for name, text in variables.items() for word in ("--variable", f"{name}={text}")]
    return subprocess.run(
        [
            str(PROGRAM),
            "--force-shell-executor",
            "--shell-isolation",
            "--home",
            str(ours.folder / "gitlab"),
            *given,
            *options,
        ],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


@pytest.mark.timeout(480)
def test_a_merge_request_goes_through_its_four_jobs(ours):
    """What one job found, another reports; what one job computed, the next does not compute again."""
    work = ours.clone("work")
    path = work / "configs" / "tiny.yaml"
    path.write_text(path.read_text().replace("max_depth: 3", "max_depth: 2"))
    git(work, "commit", "--quiet", "--all", "--message", "shallower")
    git(work, "push", "--quiet", "origin", "HEAD:shallow")
    place = ours.clone("fresh", "shallow")
    change = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    said = pipeline(ours, place, CI_MERGE_REQUEST_IID="7", **change)
    assert said.returncode == 0, said.stdout[-3000:] + said.stderr[-2000:]
    for job in ("check", "data", "train", "report"):
        assert f"PASS  {job}" in said.stdout
    for job in ("release", "deploy", "retrain"):
        assert f"PASS  {job}" not in said.stdout
    assert "= split dataset" in said.stderr  # of the stage `train`, by the cache of the stage `data`
    report = json.loads((place / ".penstock" / "ci" / "report.json").read_text())
    assert report["missing"] == [] and report["train"][0]["base"].startswith("base ")
    assert "not posted: PENSTOCK_GITLAB_TOKEN is not set" in said.stdout


def test_which_jobs_each_event_has(ours):
    """By gitlab-ci-local's own evaluation of the rules."""
    place = ours.clone("events")

    def jobs(**variables):
        said = pipeline(ours, place, "--list-json", **variables)
        listed = json.loads(said.stdout[said.stdout.index("[\n") :])
        return {each["name"]: each["when"] for each in listed if each["when"] != "never"}

    main = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main"}
    assert jobs(**main) == {"check": "on_success", "data": "on_success"}
    assert jobs(**main, PENSTOCK_HOME="/srv/penstock") == {
        "check": "on_success", "data": "on_success", "release": "on_success", "deploy": "manual",
    }  # fmt: skip
    assert jobs(CI_PIPELINE_SOURCE="schedule", CI_COMMIT_BRANCH="main", CI_DEFAULT_BRANCH="main") == {
        "retrain": "on_success"
    }
