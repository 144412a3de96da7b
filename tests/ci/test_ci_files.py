"""The four CI files: as generated, right by the official schemas, and the same in what they do."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from penstock.ci import READING, RELEASING, STAGES
from penstock.ci_files import files
from penstock.errors import ConfigError
from tests.ci import ci_facts

BIN = Path(sys.executable).parent
REPOSITORY = ci_facts.REPOSITORY
SYSTEMS = ("github", "gitlab", "circleci", "jenkins")


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_repositorys_own_files_are_the_generated_ones(system):
    path, text = files()[system]
    assert (REPOSITORY / path).read_text() == text, "uv run penstock ci generate"


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("github-workflows", ".github/workflows/penstock.yml"),
        ("gitlab-ci", ".gitlab-ci.yml"),
        ("circle-ci", ".circleci/config.yml"),
    ],
)
def test_they_are_right_by_the_official_schemas(schema, path, tmp_path):
    """Those that check-jsonschema carries; a stage with a key that does not exist is refused."""
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", f"vendor.{schema}"]
    said = subprocess.run([*command, str(REPOSITORY / path)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    tree = yaml.safe_load((REPOSITORY / path).read_text())
    jobs = tree.get("jobs", tree)
    jobs["check"]["needz"] = 5
    jobs["check"]["steps" if "steps" in jobs["check"] else "script"] = 5
    spoilt = tmp_path / "spoilt.yml"
    spoilt.write_text(yaml.safe_dump(tree))
    assert subprocess.run([*command, str(spoilt)], capture_output=True, check=False).returncode == 1


def test_zizmor_finds_nothing_but_what_is_meant():
    """Actions are pinned by version, since a digest cannot be resolved offline; jobs that restore a cache publish
    nothing, and those that release restore none."""
    command = [str(BIN / "zizmor"), "--offline", "--format", "json", ".github/workflows/penstock.yml"]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    found = json.loads(said.stdout)
    assert {each["ident"] for each in found} <= {"unpinned-uses", "cache-poisoning"}
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/penstock.yml").read_text())["jobs"]
    for name in ("release", "deploy"):
        assert not any("cache" in step.get("uses", "") for step in jobs[name]["steps"])


@pytest.mark.parametrize("system", ["gitlab", "circleci", "jenkins"])
def test_all_four_say_the_same(system):
    """Stages, commands, secrets by name, inputs, cached folders, order, events, approval, and who may run at once."""
    first, other = ci_facts.github(), getattr(ci_facts, system)()
    if system == "jenkins":  # keeps the workspace itself, and so every folder in it
        other = {name: dataclasses.replace(facts, caches=first[name].caches) for name, facts in other.items()}
        assert "deleteDir" not in (REPOSITORY / "Jenkinsfile").read_text()
        assert "cleanWs" not in (REPOSITORY / "Jenkinsfile").read_text()
    assert other == first


def test_they_say_what_is_defined():
    found = ci_facts.github()
    assert [*found] == [stage.name for stage in STAGES]
    for stage in STAGES:
        facts = found[stage.name]
        assert facts.commands[-len(stage.commands) :] == stage.commands
        assert (facts.secrets, facts.on) == (set(stage.secrets), set(stage.on))
        assert (facts.serves, facts.approval, facts.needs) == (stage.serves, stage.approval, set(stage.needs))


def test_code_of_a_pull_request_sees_no_secret_of_a_release():
    only = set(RELEASING) - set(READING)
    for name, facts in ci_facts.github().items():
        if "change" in facts.on:
            assert not facts.secrets & only, name
            assert not facts.serves and not facts.approval, name
    tree = yaml.safe_load((REPOSITORY / ".github/workflows/penstock.yml").read_text())
    assert "pull_request_target" not in tree["on"]
    assert tree["permissions"] == {}
    writing = {name: job["permissions"] for name, job in tree["jobs"].items() if "write" in job["permissions"].values()}
    assert writing == {
        "report": {"contents": "read", "pull-requests": "write"},
        "retrain": {"contents": "write", "actions": "write"},
    }


def test_caches_have_the_right_keys():
    """A key that is never made again is made of pins, configs and dataset versions; else the last one is taken."""
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/penstock.yml").read_text())["jobs"]
    [store] = [step["with"] for step in jobs["train"]["steps"] if "store" in step.get("with", {}).get("key", "")]
    for name in ("pyproject.toml", "uv.lock", "configs/**", "data/*.dvc"):
        assert f"'{name}'" in store["key"]
    assert store["key"].startswith(store["restore-keys"])
    for path in (".penstock/ledger", ".penstock/predictions"):
        assert path not in store["path"]  # what is true is no cache's
    circle = yaml.safe_load((REPOSITORY / ".circleci/config.yml").read_text())["jobs"]["train"]["steps"]
    keys = [step["restore_cache"]["keys"] for step in circle if "restore_cache" in step]
    assert all(key.startswith(prefix) for key, prefix in keys)


def test_only_main_retrains_on_a_schedule():
    crons = {}
    for branch, tree in ci_facts.jenkins_trees().items():
        [cron] = ci_facts.named(tree, "pipeline", "triggers", "cron")
        crons[branch] = cron["arguments"][0]
    assert crons == {"main": "0 6 * * 0", "feature": ""}


def test_generate_writes_what_it_wrote_and_nothing_else(checkout):
    (checkout.root / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
    made = checkout.penstock("ci", "generate", check=True)
    assert made.stdout.split()[1::2] == [
        ".github/workflows/penstock.yml", ".gitlab-ci.yml", "Jenkinsfile", ".circleci/config.yml",
    ]  # fmt: skip
    from tasks.ci.ci_generate import generate
    from tasks.data.project import load_project

    assert generate(("github", "gitlab"), [load_project("tiny")]) == []
    (checkout.root / "Jenkinsfile").write_text("pipeline { agent any }\n")
    (checkout.root / ".gitlab-ci.yml").unlink()
    with pytest.raises(ConfigError) as found:
        generate(("gitlab", "jenkins"), [load_project("tiny")])
    assert found.value.found == "Jenkinsfile" and not (checkout.root / ".gitlab-ci.yml").exists()
    assert generate(("jenkins",), [load_project("tiny")], force=True) == ["Jenkinsfile"]


def test_a_databases_password_goes_to_the_stage_that_ingests_alone(checkout):
    (checkout.root / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
    checkout.change(data={"source": {"sql": {"url_env": "SHOP_URL", "query": "SELECT 1"}}})
    checkout.penstock("ci", "generate", "--for", "github", check=True)
    jobs = yaml.safe_load((checkout.root / ".github/workflows/penstock.yml").read_text())["jobs"]
    assert [name for name, job in jobs.items() if "SHOP_URL" in json.dumps(job)] == ["retrain"]


def test_without_a_project_that_takes_part_it_says_how(checkout):
    checkout.change(ci=None)
    said = checkout.penstock("ci", "generate")
    assert said.returncode == 2 and "ci: { sample: 0.2 }" in said.stderr


@pytest.mark.parametrize("told", ["GITHUB_REF_NAME", "CI_COMMIT_BRANCH", "CIRCLE_BRANCH", "BRANCH_NAME"])
def test_retrain_pushes_to_the_branch_that_the_ci_system_tells(told, tmp_path):
    [push] = [command for stage in STAGES for command in stage.commands if "push" in command]
    (tmp_path / "git").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "git").chmod(0o755)
    shell = {"PATH": f"{tmp_path}:/bin:/usr/bin"}
    said = subprocess.run(["sh", "-c", push], env={**shell, told: "trunk"}, capture_output=True, text=True, check=True)
    assert said.stdout == "push origin HEAD:trunk\n"
    assert subprocess.run(["sh", "-c", push], env=shell, capture_output=True, check=False).returncode
