"""What is to run and to whom requests go: one value, kept in one file, from which everything else is derived.

Supervisor's programs, Envoy's clusters and routes follow from it (`penstock/gateway.py`, `tasks/serving/serving.py`).
The functions here are its only changes; each returns a new value.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.errors import PlatformError
from penstock.ledger import Kind
from penstock.refs import Package, Value
from penstock.release_config import LogConfig, ServeConfig

Environment = Literal["production", "staging"]
ENVIRONMENTS: tuple[Environment, ...] = ("production", "staging")


class Ports(Value):
    """On 127.0.0.1; 0: not chosen yet."""

    production: int = 0
    staging: int = 0
    metrics: int = 0


class Server(Value):
    """The processes of one release. Never changed while they run: another release is another server."""

    version: str
    project: str
    package: Package
    max_body_bytes: int
    log: LogConfig
    workers: int
    memory_mb: int
    fault: str = ""  # what a drill has this server do wrong; empty outside of drills
    clock: str = ""  # the file of a simulation's clock; empty outside of simulations


class Route(Value):
    """Who answers a project's requests in one environment.

    ``weight``: percent of requests that the challenger answers first; when it fails, the champion answers them, and
    what the champion fails in turn, the challenger.
    ``fallback``: who answers what the champion fails, while a champion is new; left out, the champion itself again.
    ``mirror``: the challenger also gets a copy of every request, and its answers go nowhere.
    ``rollout``: the rollout that put the challenger here; it also salts who is in the canary.
    """

    champion: str
    challenger: str = ""
    weight: int = 0
    fallback: str = ""
    mirror: bool = False
    rollout: str = ""
    serve: ServeConfig = ServeConfig()

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.champion, self.challenger, self.fallback)))


class Note(Value):
    """What the ledger is to be told of a change: an event's fields. ``change`` names the change, whose notes are told
    once, whoever tells them."""

    change: str
    kind: Kind
    version: str
    reason: str
    facts: dict[str, str] = Field(default_factory=dict)


class Desired(Value):
    """The whole of it. ``revision`` rises with every change.

    ``untold``: by project, what was changed and the ledger may not know yet. It is written with the change itself, so
    that who serves and why cannot come apart when a process is killed in between.
    """

    revision: int = 0
    ports: Ports = Ports()
    servers: dict[str, Server] = Field(default_factory=dict)
    production: dict[str, Route] = Field(default_factory=dict)
    staging: dict[str, Route] = Field(default_factory=dict)
    untold: dict[str, tuple[Note, ...]] = Field(default_factory=dict)

    def routes(self, environment: Environment) -> dict[str, Route]:
        return self.production if environment == "production" else self.staging

    def route(self, environment: Environment, project: str) -> Route | None:
        return self.routes(environment).get(project)


def with_server(desired: Desired, server: Server) -> Desired:
    return desired.model_copy(update={"servers": {**desired.servers, server.version: server}})


def with_route(desired: Desired, environment: Environment, project: str, route: Route | None) -> Desired:
    """Raises PlatformError if the route names a release that has no server."""
    for version in route.versions if route else ():
        if version not in desired.servers:
            raise PlatformError(
                f"`{version}` cannot get requests: no server of it runs.",
                allowed=", ".join(sorted(desired.servers)) or "no server runs",
                next_step=f"penstock deploy {project}",
            )
    routes = {name: found for name, found in desired.routes(environment).items() if name != project}
    return desired.model_copy(update={environment: routes | ({project: route} if route else {})})


def with_untold(desired: Desired, project: str, *notes: Note) -> Desired:
    known = desired.untold.get(project, ())
    return desired.model_copy(update={"untold": {**desired.untold, project: (*known, *notes)}})


def without_untold(desired: Desired, project: str, told: tuple[Note, ...]) -> Desired:
    left = tuple(note for note in desired.untold.get(project, ()) if note not in told)
    others = {name: notes for name, notes in desired.untold.items() if name != project}
    return desired.model_copy(update={"untold": others | ({project: left} if left else {})})


def used(desired: Desired) -> set[str]:
    """The versions that some route names."""
    return {
        version
        for environment in ENVIRONMENTS
        for route in desired.routes(environment).values()
        for version in route.versions
    }


def unused(desired: Desired, project: str) -> set[str]:
    """The versions of a project whose servers run and get no requests."""
    return {version for version, server in desired.servers.items() if server.project == project} - used(desired)


def without_servers(desired: Desired, versions: set[str]) -> Desired:
    servers = {version: server for version, server in desired.servers.items() if version not in versions}
    return desired.model_copy(update={"servers": servers})
