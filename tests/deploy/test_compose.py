"""`deploy/compose.yaml`: valid by the official schema, nothing may do more than it has to, no secret is in it.

No container is started. Penstock's own parts are in test_compose_parts.py.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.prometheus_server import needs_prometheus

DEPLOY = REPOSITORY / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONCE = {"folders", "bucket"}  # they end
NAMES = set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
needs_podman_compose = pytest.mark.skipif(
    not shutil.which("podman-compose"), reason="skipped: no `podman-compose` here; pip install podman-compose"
)


def schema_says(path: Path) -> str:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def loose(name: str, service: dict[str, Any]) -> list[str]:
    """What a service may do that it should not, or lacks."""
    user, tag = service.get("user", "0").partition(":")[0], service["image"].rpartition("/")[2]
    checks = {
        "may run as root": user.isdigit() and int(user) > 0,
        "writes its root": service.get("read_only") is True,
        "keeps capabilities": service.get("cap_drop") == ["ALL"] and "cap_add" not in service,
        "may gain privileges": service.get("security_opt") == ["no-new-privileges:true"],
        "is privileged": not {"privileged", "devices", "pid", "ipc", "userns_mode"} & service.keys(),
        "has no limits": {"mem_limit", "cpus", "pids_limit"} <= service.keys(),
        "has no tag": ":" in tag and not tag.endswith(":latest"),
        "has a digest that nobody resolved": "@" not in tag,
        "is not started again": service.get("restart") == ("no" if name in ONCE else "unless-stopped"),
        "has no health check": name in ONCE or "healthcheck" in service,
        "is reached from other machines": all(each.startswith("127.0.0.1:") for each in service.get("ports", [])),
        "is on the host's network": service.get("network_mode") in (None, "none"),
        "is on no network of its own": bool(service.get("networks") or service.get("network_mode")),
        "reaches the container engine": not any("docker.sock" in each for each in service.get("volumes", [])),
        "logs without end": "max-size" in service.get("logging", {}).get("options", {}),
    }
    return [f"{name} {what}" for what, well in checks.items() if not well]


def reachable(services: dict[str, dict[str, Any]], name: str) -> set[str]:
    """The services that share a network with this one."""
    mine = set(services[name].get("networks", []))
    return {other for other, each in services.items() if mine & set(each.get("networks", []))} - {name}


def test_it_is_valid_against_the_official_schema():
    assert schema_says(DEPLOY / "compose.yaml") == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("read_only:", "readonly:"), ("internal: true", "internal: []"), ("start_period:", "startperiod:")],
)
def test_the_schema_would_say_so(right, wrong, tmp_path):
    assert right in TEXT
    (tmp_path / "compose.yaml").write_text(TEXT.replace(right, wrong))
    assert schema_says(tmp_path / "compose.yaml")


def test_no_service_may_do_more_than_it_has_to():
    assert [said for name, service in SERVICES.items() for said in loose(name, service)] == []


def test_the_policy_would_say_so():
    service = copy.deepcopy(SERVICES["prefect"])
    service |= {"user": "root", "read_only": False, "cap_add": ["NET_ADMIN"], "image": "registry.example.com:5000/x"}
    service |= {"ports": ["4200:4200"], "volumes": ["/var/run/docker.sock:/var/run/docker.sock"], "restart": "no"}
    del service["mem_limit"], service["healthcheck"], service["security_opt"]
    assert len(loose("prefect", service)) == 10


def test_networks_keep_apart_what_has_nothing_to_say_to_each_other():
    assert reachable(SERVICES, "postgres") == {"prefect", "mlflow"}
    assert reachable(SERVICES, "s3") == {"bucket", "worker"}
    assert reachable(SERVICES, "grafana") == {"prometheus", "alertmanager", "worker"}
    assert [COMPOSE["networks"][name] for name in ("database", "objects")] == [{"internal": True}] * 2
    used = {name for service in SERVICES.values() for name in service.get("networks", [])}
    assert used == set(COMPOSE["networks"])
    # what is on internal networks alone cannot be published, and says nothing else
    assert {name for name in SERVICES if not {"control", "watch"} & set(SERVICES[name].get("networks", []))} == {
        "postgres", "s3", "folders", "bucket"
    }  # fmt: skip
    assert not any("ports" in SERVICES[name] for name in ("postgres", "s3", "folders", "bucket"))


def test_secrets_come_from_a_file_that_is_not_in_git():
    assert set(re.findall(r"\$\{(\w+):\?", TEXT)) == NAMES  # `:?`: compose refuses an empty one
    assert re.findall(r"\$\{?\w+\}?(?!\w*:\?)", re.sub(r"\$\{\w+:\?[^}]*\}", "", TEXT)) == []
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"KEY|PASSWORD|SECRET|AUTH|CONNECTION_URL|STORE_URI", variable):
                assert "${" in value, f"{name}: {variable}"
    lines = [each for each in (DEPLOY / ".env.example").read_text().splitlines() if each and each[0] != "#"]
    assert all(re.fullmatch(r"\w+=", each) for each in lines)
    ignored = subprocess.run(["git", "check-ignore", "deploy/.env", "deploy/.env.example"], cwd=REPOSITORY,
                             capture_output=True, text=True, check=False)  # fmt: skip
    assert ignored.stdout.split() == ["deploy/.env"]


def test_everything_that_is_mounted_is_there():
    for service in SERVICES.values():
        for each in service.get("volumes", []):
            source = each.partition(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists() and each.endswith(":ro"), each
            elif not source.startswith("${"):
                assert source in COMPOSE["volumes"], each
    kept = {each.partition(":")[0] for service in SERVICES.values() for each in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= kept


def test_who_waits_for_whom_can_be_waited_for():
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how == {"condition": wanted}, f"{name}: {other}"


def test_the_versions_are_those_of_the_project():
    version = re.search(r'^version = "(.+)"', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert {each["image"] for each in SERVICES.values() if "penstock" in each["image"]} == {f"penstock:{version}"}
    assert f"--tag penstock:{version} " in (DEPLOY / "Dockerfile").read_text()
    manifests = (DEPLOY / "kubernetes/dev-postgres/postgres.yaml").read_text()
    assert f"image: {SERVICES['postgres']['image']}" in manifests


def test_prometheus_asks_what_it_asks_on_a_machine_without_containers():
    here = yaml.safe_load((DEPLOY / "compose/prometheus.yml").read_text())
    there = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert here.pop("alerting")
    for job in here["scrape_configs"]:
        if relabel := job.pop("relabel_configs", None):
            assert relabel == [{"target_label": "__address__", "replacement": "worker:18790"}]
    assert json.loads(json.dumps(here).replace("worker:18790", "127.0.0.1:8790")) == there


def test_grafana_has_the_data_source_of_the_dashboard():
    here = yaml.safe_load((DEPLOY / "compose/datasource.yml").read_text())
    there = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/penstock.yml").read_text())
    assert here["datasources"][0].pop("url") == "http://prometheus:9090"
    there["datasources"][0].pop("url")
    assert here == there
    folder = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/penstock.yml").read_text())
    path = folder["providers"][0]["options"]["path"]
    assert any(each.split(":")[1] == path for each in SERVICES["grafana"]["volumes"])


@needs_prometheus
def test_prometheus_accepts_its_config(tmp_path):
    shutil.copy(DEPLOY / "compose/prometheus.yml", tmp_path)
    shutil.copy(DEPLOY / "prometheus/rules.yml", tmp_path)
    done = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus.yml"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@needs_podman_compose
def test_podman_compose_reads_it(tmp_path):
    filled = tmp_path / "env"
    values = dict.fromkeys(NAMES, "abc") | {"PENSTOCK_CHECKOUT": "/srv/checkout"}
    filled.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    done = parsed(filled)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    assert found.keys() == SERVICES.keys()
    assert found["prefect"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"] == "penstock:abc"
    assert [said for name, service in found.items() for said in loose(name, service)] == []
    filled.write_text(filled.read_text().replace("PREFECT_AUTH=abc", "PREFECT_AUTH="))
    refused = parsed(filled)
    assert refused.returncode and "PREFECT_AUTH" in refused.stderr


def parsed(filled: Path) -> subprocess.CompletedProcess[str]:
    command = ["podman-compose", "--env-file", str(filled), "--file", str(DEPLOY / "compose.yaml"), "config"]
    return subprocess.run(command, capture_output=True, text=True, check=False)
