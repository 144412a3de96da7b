"""What a CI system's file says of each stage, read from the file alone, in the same words for all four."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
GROOVY = REPOSITORY / ".ci" / "tools" / "node_modules" / "npm-groovy-lint" / "lib" / "java" / "groovy" / "lib"
EXIT = re.compile(r" \|\| echo \$\? > \S+$")  # CircleCI: kept, and the job ends with it


@dataclass(frozen=True)
class Facts:
    """Of one stage."""

    commands: tuple[str, ...]
    secrets: frozenset[str]
    caches: frozenset[str]
    needs: frozenset[str]
    on: frozenset[str]
    variables: frozenset[tuple[str, str]]
    serves: bool  # on the machine that serves, and only where PENSTOCK_HOME is set
    approval: bool
    alone: bool  # no two at once
    keeps: bool
    always: bool


def lines(text: str) -> tuple[str, ...]:
    found = [EXIT.sub("", line.strip()) for line in text.strip().splitlines()]
    return tuple(line for line in found if line and line != "set -e")


def pairs(tree: dict) -> frozenset[tuple[str, str]]:
    ours = {name: text for name, text in tree.items() if name.startswith(("UV_", "GIT_A", "GIT_COMM"))}
    return frozenset(ours.items())


def github() -> dict[str, Facts]:
    tree = yaml.safe_load((REPOSITORY / ".github/workflows/penstock.yml").read_text())
    found = {}
    approvals = {name: job for name, job in tree["jobs"].items() if name.startswith("approve-")}
    for name, job in tree["jobs"].items():
        if name in approvals:
            # it holds no name while a person is asked, and nothing but its stage waits for it
            assert job["environment"] == "production" and "concurrency" not in job
            continue
        asked = approvals.get(f"approve-{name}")
        assert not asked or (job["needs"], job["if"]) == ([f"approve-{name}"], asked["if"])
        assert "environment" not in job
        steps = job["steps"]
        [own] = [step for step in steps if step.get("name") == name]
        [install] = [step for step in steps if step.get("name") == "install"]
        caches = [
            path for step in steps if "actions/cache@" in step.get("uses", "") for path in lines(step["with"]["path"])
        ]
        on = {
            "change": "'pull_request'" in job["if"],
            "main": "'push'" in job["if"],
            "tag": "'push'" in job["if"] and tree["on"]["push"]["tags"] == ["release-*"],
            "schedule": "'schedule'" in job["if"],
        }
        serves = "vars.PENSTOCK_HOME != ''" in job["if"]
        assert serves == (job["runs-on"] == ["self-hosted", "penstock"]) == ("PENSTOCK_HOME" in job.get("env", {}))
        secrets = {key for key, text in own.get("env", {}).items() if text == f"${{{{ secrets.{key} }}}}"}
        found[name] = Facts(
            commands=(*lines(install["run"]), *lines(own["run"])),
            secrets=frozenset(secrets),
            caches=frozenset(caches),
            needs=frozenset((asked or job).get("needs", [])),
            on=frozenset(event for event, there in on.items() if there),
            variables=pairs(tree["env"]),
            serves=serves,
            approval=asked is not None,
            alone=job.get("concurrency", {}) == {"group": "penstock-release", "cancel-in-progress": False},
            keeps=any("upload-artifact" in step.get("uses", "") for step in steps),
            always="!cancelled()" in job["if"],
        )
    return found


def gitlab() -> dict[str, Facts]:
    tree = yaml.safe_load((REPOSITORY / ".gitlab-ci.yml").read_text())
    found = {}
    for name in tree["stages"]:
        job = tree[name]
        rules = " ".join(rule["if"] for rule in job["rules"])
        on = {
            "change": "merge_request_event" in rules,
            "main": '!= "schedule" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH' in rules,
            "tag": "$CI_COMMIT_TAG =~ /^release-/" in rules,
            "schedule": '== "schedule" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH' in rules,
        }
        serves = all("&& $PENSTOCK_HOME" in rule["if"] for rule in job["rules"])
        assert serves == (job.get("tags") == ["penstock"])
        found[name] = Facts(
            commands=tuple(job["script"]),
            secrets=frozenset(job.get("variables", {}).get("PENSTOCK_SECRETS", "").split()),
            caches=frozenset(path for cache in job.get("cache", []) for path in cache["paths"]),
            needs=frozenset(job["needs"]),
            on=frozenset(event for event, there in on.items() if there),
            variables=pairs(tree["variables"]),
            serves=serves,
            approval=all(rule.get("when") == "manual" for rule in job["rules"]) and "environment" in job,
            alone=job.get("resource_group") == "penstock-release",
            keeps=job.get("artifacts", {}).get("when") == "always",
            always=all(rule.get("when") == "always" for rule in job["rules"]),
        )
    return found


def circleci() -> dict[str, Facts]:
    tree = yaml.safe_load((REPOSITORY / ".circleci/config.yml").read_text())
    found = {}
    for name, job in tree["jobs"].items():
        steps = {step["run"]["name"]: step["run"]["command"] for step in job["steps"] if "run" in step}
        entries, asked = {}, []
        for flow, workflow in tree["workflows"].items():
            jobs: dict = {}
            for each in workflow["jobs"]:
                jobs |= each if isinstance(each, dict) else {each: {}}
            if name in jobs:
                entries[flow] = jobs[name]
                asked += [jobs[need] for need in jobs[name].get("requires", []) if need == f"approve-{name}"]
        assert all(each["type"] == "approval" for each in asked)
        requires = [need for each in asked or entries.values() for need in each.get("requires", [])]
        before = {need if isinstance(need, str) else next(iter(need)) for need in requires}
        serves = all(flow.endswith("-release") and tree["workflows"][flow]["when"] for flow in entries)
        assert serves == (job.get("machine") is True) == ("PENSTOCK_HOME" in job["environment"])
        secrets = job["environment"].get("PENSTOCK_SECRETS", "").split()
        assert all(bool(secrets) == ("context" in each) for each in entries.values())
        found[name] = Facts(
            commands=(*lines(steps["install"]), *lines(steps[name])),
            secrets=frozenset(secrets),
            caches=frozenset(
                path for step in job["steps"] if "save_cache" in step for path in step["save_cache"]["paths"]
            ),
            needs=frozenset(before),
            on=frozenset(flow.removesuffix("-release") for flow in entries),
            variables=pairs(job["environment"]),
            serves=serves,
            approval=len(asked) == len(entries),
            alone=all("penstock-release" in each.get("serial-group", "") for each in entries.values()),
            keeps=any("persist_to_workspace" in step for step in job["steps"]),
            always=any(isinstance(need, dict) for need in requires),
        )
    return found


@functools.cache
def jenkins_trees() -> dict[str, list[dict]]:
    """The Jenkinsfile as Groovy itself runs it, with a recorder in the place of Jenkins, by branch.

    Skipped without Java or Groovy.
    """
    if not shutil.which("java"):
        pytest.skip("no Java here: the Jenkinsfile was not run")
    if not GROOVY.is_dir():
        pytest.skip("no Groovy here (npm ci --prefix .ci/tools --ignore-scripts): the Jenkinsfile was not run")
    recorder = Path(__file__).with_name("jenkins_tree.groovy")
    command = ["java", "-cp", f"{GROOVY}/*", "groovy.ui.GroovyMain", str(recorder), "Jenkinsfile", "main", "feature"]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def named(body: list[dict], *path: str) -> list[dict]:
    """Nodes at a path of names."""
    for name in path[:-1]:
        body = [inner for node in body if node["name"] == name for inner in node["body"]]
    return [node for node in body if node["name"] == path[-1]]


def words(nodes: list[dict]) -> str:
    return json.dumps(nodes)


def jenkins() -> dict[str, Facts]:
    text = (REPOSITORY / "Jenkinsfile").read_text()
    [pipeline] = jenkins_trees()["main"]
    found = {}
    for stage in named([pipeline], "pipeline", "stages", "stage"):
        name, body = stage["arguments"][0], stage["body"]
        when = words(named(body, "when", "anyOf"))
        own = text[text.index(f"stage('{name}')") :].partition("\n    }\n")[0]
        needs = re.search(r"passed\.containsAll\(\[(.*?)\]\)", own)
        always = re.search(r"for \(name in \[(.*?)\]\)", own)
        timer = '"triggeredBy", "arguments": ["TimerTrigger"]'
        on = {
            "change": "changeRequest" in when,
            "main": f'"not", "arguments": [], "body": [{{"name": {timer}' in when,
            "tag": '"tag", "arguments": ["release-*"]' in when,
            "schedule": f'"body": []}}, {{"name": {timer}' in when,
        }
        [limit] = named(body, "steps", "catchError", "timeout")
        assert limit["arguments"][0] == {"time": 60, "unit": "MINUTES"}  # of the work, and not of an approval
        assert not named(body, "options", "timeout") and not named([pipeline], "pipeline", "options", "timeout")
        [shell] = named(limit["body"], "sh")
        serves = words(named(body, "agent")).count('"label"') == 1
        assert serves == ("expression { env.PENSTOCK_HOME }" in own)
        secrets = [node["name"] for node in [*named(body, "environment")][:1] for node in node["body"]]
        assert all(f"{each} = credentials('{each}')" in own for each in secrets)
        variables = {
            node["name"]: node["arguments"][0] for node in named([pipeline], "pipeline", "environment")[0]["body"]
        }
        found[name] = Facts(
            commands=lines(shell["arguments"][0]),
            secrets=frozenset(secrets),
            caches=frozenset(),
            needs=frozenset(re.findall(r"'(\w+)'", (needs or always)[1])) if needs or always else frozenset(),
            on=frozenset(event for event, there in on.items() if there),
            variables=pairs(variables),
            serves=serves,
            approval=bool(named(body, "input")),
            alone=serves and bool(named([pipeline], "pipeline", "options", "disableConcurrentBuilds")),
            keeps=bool(named(body, "post", "always", "stash")),
            always=bool(always),
        )
    return found
