"""Deployments on a real server: those of `prefect.yaml`, no others, and no oftener than they change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request

import pytest

from tests.conftest import REPOSITORY
from tests.place import DEPLOYMENT, Place
from tests.waiting import PATIENCE, until

DEPLOY = (  # prints what was done
    "from tasks.platform.deployments import ensure_deployments\n"
    "with platform.connected(): done = ensure_deployments().changes\n"
    "print([each.name for each in done if each.done != 'kept'])"
)


def test_deployments_are_those_of_the_file_and_their_schedules_fire(place):
    place.ask("platform.up()")
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["tiny"]
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until(lambda: place.api("/flow_runs/filter", scheduled), "the scheduler made no runs")
    assert place.ask(DEPLOY) == "[]"

    renamed = {**DEPLOYMENT, "schedules": [{"cron": "5 * * * *", "timezone": "UTC", "slug": "other"}]}
    place.deploy(renamed)
    place.ask("platform.up()")
    (deployment,) = place.api("/deployments/filter", {})
    assert [schedule["slug"] for schedule in deployment["schedules"]] == ["other"]

    place.deploy({**DEPLOYMENT, "name": "second"})
    place.ask("platform.up()")
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["second"]
    place.deploy(DEPLOYMENT)


def test_only_what_changed_is_deployed_again(place):
    place.deploy(DEPLOYMENT, {**DEPLOYMENT, "name": "second"})
    place.ask(DEPLOY)
    other = {"cron": "5 * * * *", "timezone": "UTC", "slug": "other"}
    place.deploy(DEPLOYMENT, {**DEPLOYMENT, "name": "second", "schedules": [other]})
    assert place.ask(DEPLOY) == "['hello/second', 'hello/second, hourly']"
    place.deploy(DEPLOYMENT)
    assert place.ask(DEPLOY) == "['hello/second']"
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["tiny"]


def test_a_deployment_that_was_deleted_on_the_server_comes_back(place):
    place.ask("platform.up()")
    (deployment,) = place.api("/deployments/filter", {})
    request = urllib.request.Request(f"{place.ask('print(platform.address())')}/api/deployments/{deployment['id']}")
    request.method = "DELETE"
    urllib.request.urlopen(request, timeout=PATIENCE).close()
    assert place.api("/deployments/filter", {}) == []
    place.ask("platform.up()")
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["tiny"]


def test_another_checkout_on_this_server_starts_none_and_leaves_its_deployments(place, tmp_path):
    place.ask("platform.up()")
    shutil.copytree(REPOSITORY / "tests" / "tiny", tmp_path, dirs_exist_ok=True)
    guest = Place(tmp_path)
    team = {"PREFECT_API_URL": place.ask("print(platform.address())") + "/api"}
    guest.deploy({**DEPLOYMENT, "name": "guest"})
    assert guest.ask(DEPLOY, **team) == "['hello/guest']"
    guest.deploy()
    guest.ask(DEPLOY, **team)
    assert [found["name"] for found in place.api("/deployments/filter", {})] == ["tiny"]
    assert not (guest.home / "supervisor").exists()


def test_prefects_own_command_finds_all_of_it_with_nothing_exported(place):
    place.ask("platform.up()")
    shell = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    shell["PWD"] = str(place.root)
    prefect = [sys.executable, "-m", "prefect"]
    deploy = subprocess.run(
        [*prefect, "--no-prompt", "deploy", "--all"], cwd=place.root, env=shell, capture_output=True, text=True
    )
    assert deploy.returncode == 0, deploy.stdout + deploy.stderr
    command = [*prefect, "deployment", "run", "hello/tiny", "--watch", "-p", "name=you"]
    run = subprocess.run(command, cwd=place.root, env=shell, capture_output=True, text=True, timeout=PATIENCE)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (place.root / "said.txt").read_text() == f"you {place.root}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deployments: [{name: x}]", "cannot be read"),
        ("deployments: 3", "cannot be read"),
        ("deployments: [{name: x, entrypoint: 'a.py:b', schedules: [{cron: '* * * * *'}]}]", "has no slug"),
    ],
)
def test_a_wrong_file_is_named(place, text, said):
    (place.root / "prefect.yaml").write_text(text)
    try:
        process = place.start("platform.up()")
        assert said in process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 1
    finally:
        place.deploy(DEPLOYMENT)
