"""Two environments on one real Prefect server: neither overwrites, removes, starts or runs what is the other's."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.place import DEPLOYMENT
from tests.waiting import until

FLOW = """
import os
from pathlib import Path
from prefect import flow

@flow
def hello(name: str = "nobody"):
    with Path("said.txt").open("a") as said:
        said.write(f"{os.environ.get('PENSTOCK_ENV', '')} {name}\\n")
"""
TRIGGER = {
    "name": "hello to tiny",
    "type": "event",
    "expect": ["penstock.data.ingested"],
    "match": {"prefect.resource.id": "penstock.project.tiny"},
}
DEPLOY = (
    "from tasks.platform.deploying import deploy_flows\n"
    "with platform.connected(): done = deploy_flows()[0].changes\n"
    "print([each.name for each in done if each.done != 'kept'])"
)
RUN = (
    "with platform.connected():\n"
    " from prefect.client.orchestration import get_client\n"
    " with get_client(sync_client=True) as client:\n"
    "  client.create_flow_run_from_deployment(client.read_deployment_by_name({!r}).id)"
)
TELL = (
    "from tasks.platform import events\n"
    "with platform.connected():\n"
    " from prefect import flow\n"
    " @flow\n"
    " def tells(): events.tell('data.ingested', 'tiny', version='x')\n"
    " tells()"
)


def in_staging(place, code: str, text: str = "", **variables: str) -> tuple[int, str]:
    """``code`` in the environment `staging` of the same checkout, on the server that development started."""
    folder = place.root / "environments"
    folder.mkdir(exist_ok=True)
    server = place.ask("print(platform.address())") + "/api"
    (folder / "staging.env").write_text(f"PREFECT_API_URL={server}\nPENSTOCK_HOME=.penstock/env/staging\n{text}")
    staging = {**place.environment, "PENSTOCK_ENV": "staging", **variables}
    del staging["PENSTOCK_HOME"]
    before, place.environment = place.environment, staging
    try:
        process = place.start(code)
    finally:
        place.environment = before
    out, err = process.communicate(timeout=300)
    return process.returncode, (out or "").strip() if process.returncode == 0 else err


def there(place) -> dict[str, str]:
    return {each["name"]: each["work_pool_name"] for each in place.api("/deployments/filter", {})}


def said(place) -> list[str]:
    path = Path(place.root / "said.txt")
    return path.read_text().split("\n")[:-1] if path.exists() else []


def states(place) -> list[str]:
    found = place.api("/flow_runs/filter", {"flows": {"name": {"any_": ["hello"]}}})
    return sorted(each["state"]["type"] for each in found)


def test_two_environments_on_one_server_keep_apart(place):
    (place.root / "hello.py").write_text(FLOW)
    config = place.root / "configs" / "tiny.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "alerts": {"ops": ["gate"]}}))
    place.deploy({**DEPLOYMENT, "schedules": [], "triggers": [TRIGGER]})
    hook = {"PENSTOCK_ALERT_OPS": "https://hooks.example.com/development"}
    try:
        place.ask("platform.ensure_server()")
        assert "penstock: tiny -> ops" in place.ask(DEPLOY, **hook)
        code, done = in_staging(place, DEPLOY, "PENSTOCK_ALERT_OPS=${OPS}\n", OPS="https://hooks.example.com/staging")
        assert code == 0, done
        assert "hello/tiny@staging" in done and "penstock: tiny@staging -> ops" in done
        assert place.ask(DEPLOY, **hook) == "[]"  # nothing of it was overwritten or removed
        assert there(place) == {"tiny": "penstock", "tiny@staging": "penstock-staging"}
        blocks = {each["name"] for each in place.api("/block_documents/filter", {})}
        assert blocks >= {"penstock-ops", "penstock--staging--ops"}

        # staging's event starts staging's deployment, and its worker runs that and none of development's
        assert in_staging(place, "platform.ensure_worker()")[0] == 0
        place.ask(RUN.format("hello/tiny"))
        assert in_staging(place, TELL)[0] == 0
        until(lambda: said(place), "staging's worker ran nothing")
        assert in_staging(place, RUN.format("hello/tiny@staging"))[0] == 0
        until(lambda: len(said(place)) >= 2, "staging's worker ran nothing more")
        assert said(place) == ["staging world"] * 2
        ended = ["COMPLETED", "COMPLETED", "SCHEDULED"]  # the last is development's, which has no worker
        until(lambda: states(place) == ended, lambda: f"the runs are {states(place)}")
        assert not (place.root / "prefect.toml").read_text().count("env/staging")

        place.deploy()
        code, done = in_staging(place, DEPLOY)
        assert code == 0, done
        assert there(place) == {"tiny": "penstock"}
    finally:
        in_staging(place, "platform.down()")
        place.deploy(DEPLOYMENT)


def test_a_pool_that_another_environment_has_is_refused(place):
    place.ask(
        "from tasks.platform.deployments import ensure_deployments\nwith platform.connected(): ensure_deployments()"
    )
    code, text = in_staging(place, DEPLOY, "PENSTOCK_WORK_POOL=penstock\n")
    assert code == 1 and "The work pool `penstock` is of another environment" in text
    assert "it is of development" in text and "PENSTOCK_WORK_POOL" in text
    code, text = in_staging(place, DEPLOY, "PENSTOCK_WORK_POOL=ours\n")
    assert code == 0, text
    assert there(place)["tiny@staging"] == "ours"
    code, text = in_staging(place, DEPLOY, PENSTOCK_WORK_POOL="penstock")
    assert code == 1 and "PENSTOCK_WORK_POOL is set" in text  # another environment's shell
