"""Does what runs agree with what is desired? Asked of the real gateway, supervisord, processes and ledger."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

import psutil
import yaml

from penstock import gateway, ledger
from penstock.desired import ENVIRONMENTS, Desired, Environment, Route, unused, used
from tasks.machine.settings import settings
from tasks.platform import ports, supervision
from tasks.platform.programs import OWNER
from tasks.registry.registry import read_ledger
from tasks.rollout.rollback import answering
from tasks.serving import envoy, release_server, serving
from tasks.store import locks

OURS = {*envoy.NAMES, "warden", ports.METRICS}
PREFECT = {"prefect-server", "prefect-worker"}
TRIES = 64  # connections, until each Envoy has had one


def disagreements(project: str) -> list[str]:
    """In words, whatever is not as `desired.json` says; empty when all is. This process's settings say where."""
    desired = serving.read()
    route = desired.route("production", project)
    if route is None:
        return [f"nothing of {project} serves"]
    return [
        *_answers(project, route),
        *_programs(desired),
        *_orphans(),
        *_configuration(desired),
        *_ledger(project, desired, route),
    ]


def _answers(project: str, route: Route) -> Iterator[str]:
    before = _connections()
    for _ in range(TRIES):
        if (found := answering(project)) != route.champion:
            yield f"the gateway answers with {found or 'nothing'}, not with {route.champion}"
            return
        if all(now > was for now, was in zip(_connections(), before, strict=True)):
            return
    yield "not every Envoy answers"


def _connections() -> list[int]:
    """How many connections each Envoy has had; -1 where it does not say."""
    name = "http.production.downstream_cx_total"
    found = []
    for number in range(envoy.COUNT):
        try:
            found.append(int(envoy.stats(number, f"^{name}$").get(name, -1)))
        except envoy.SILENT:
            found.append(-1)
    return found


def _programs(desired: Desired) -> Iterator[str]:
    expected = desired.servers.keys() | OURS
    found = supervision.groups() - PREFECT
    if found != expected:
        yield f"supervisord runs {sorted(found)}, desired are {sorted(expected)}"
    for version, server in desired.servers.items():
        states = [process["statename"] for process in supervision.group(version)]
        if states != ["RUNNING"] * server.workers:
            yield f"{version}: its processes are {states}"


def _orphans() -> Iterator[str]:
    known = {process["pid"] for process in supervision.processes().values()}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(OWNER) == str(settings().home) and process.pid not in known:
                yield f"nobody knows the process {process.pid}: {' '.join(process.cmdline())[:80]}"


def _configuration(desired: Desired) -> Iterator[str]:
    """Envoy's files are those derived from what is desired, and every Envoy has them."""
    sockets = {version: str(release_server.socket_of(version)) for version in desired.servers}
    clusters = _file("clusters")
    found = gateway.sockets_of(clusters["resources"])
    wrong = {name for name, path in found.items() if sockets.get(name) != path} | (used(desired) - found.keys())
    if wrong:
        yield f"clusters are not as desired: {sorted(wrong)}"
    for environment in ENVIRONMENTS:
        if _plain(_file(environment)["resources"][0]) != _plain(gateway.routes(desired, environment, "")):
            yield f"routes of {environment} are not as desired"
    for number in range(envoy.COUNT):
        yield from _taken(number, clusters)


def _taken(number: int, clusters: dict) -> Iterator[str]:
    try:
        said = json.loads(envoy.ask(number, "/config_dump?resource=dynamic_active_clusters")).get("configs", [])
        versions = {name: _version(number, f"http.{name}.rds.{name}") for name in ENVIRONMENTS}
    except envoy.SILENT:
        yield f"Envoy {number} does not answer"
        return
    has = gateway.sockets_of([config["cluster"] for config in said])
    if has != gateway.sockets_of(clusters["resources"]):
        yield f"Envoy {number} has the clusters {has}"
    for name, version in versions.items():
        if version != _file(name)["version_info"]:
            yield f"Envoy {number} has routes {version} of {name}, not {_file(name)['version_info']}"


def _version(number: int, prefix: str) -> str:
    return envoy.stats(number, f"^{prefix}\\.version_text$").get(f"{prefix}.version_text", "")


def _ledger(project: str, desired: Desired, route: Route) -> Iterator[str]:
    events = read_ledger(project)
    serves = ledger.serving(events)
    if serves is None or serves.version != route.champion:
        yield f"the ledger says that {serves.version if serves else 'nothing'} serves, desired is {route.champion}"
    with locks.tried(f"deploy-{project}") as free:
        if free and route.challenger:
            yield f"{route.challenger} is a challenger, and nobody leads its rollout"
        kept = {ledger.last_healthy(events, route.champion)}
        if free and unused(desired, project) - kept:
            yield f"servers run that nobody needs: {sorted(unused(desired, project) - kept)}"


def _file(name: Environment | str) -> dict:
    return yaml.safe_load((settings().home / "serving" / "envoy" / f"{name}.yaml").read_text())


def _plain(routes: dict) -> str:
    """Without the revision, which says nothing of who answers."""
    hosts = [{key: value for key, value in host.items() if key != "metadata"} for host in routes["virtual_hosts"]]
    return json.dumps({**routes, "virtual_hosts": hosts}, sort_keys=True)


def settled(project: str, seconds: float = 120) -> list[str]:
    """What still disagrees after ``seconds``; supervisord takes two to call a process that started well running."""
    end = time.monotonic() + seconds
    while (found := disagreements(project)) and time.monotonic() < end:
        time.sleep(0.1)
    return found
