"""What serves right now, as a person at night wants to see it: who, how much of the traffic, how well."""

from __future__ import annotations

import json
import shlex

from penstock import ledger
from penstock.desired import ENVIRONMENTS, Desired, Route
from penstock.forcing import ended, forced
from penstock.ledger import Event
from penstock.refs import Value
from penstock.traffic import Traffic
from tasks.machine import clock
from tasks.packaging.model_server import api_key
from tasks.platform import supervision
from tasks.serving import envoy, release_server, serving
from tasks.serving.evidence import counters
from tasks.store import host


class Serving(Value):
    """One release in one environment. Counts are since the gateway started; milliseconds are bucket bounds."""

    version: str
    role: str  # champion | challenger
    share: int  # percent of requests that it answers first
    mirrored: bool
    running: int
    workers: int
    requests: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None

    def __str__(self) -> str:
        share = "a copy of every request" if self.mirrored else f"{self.share} %"
        up = f"{self.running} of {self.workers} up"
        seen = f"{self.requests:,} requests, {self.errors:,} failed"
        if self.p50_ms is not None and self.p95_ms is not None:
            seen += f", p50 {self.p50_ms:.1f} ms, p95 {self.p95_ms:.1f} ms"
        return f"{self.version:<14} {self.role:<11} {share:<6} {up}; {seen}"


class Place(Value):
    """One environment of a project: its address, and who answers there."""

    environment: str
    address: str
    answers: bool
    releases: tuple[Serving, ...]

    def __str__(self) -> str:
        state = "" if self.answers else "   DOES NOT ANSWER; penstock up"
        return "\n".join(
            [f"  {self.environment:<11} {self.address}{state}", *(f"    {release}" for release in self.releases)]
        )


def places(project: str) -> tuple[Place, ...]:
    """Where a project is served on this machine; none if it never was."""
    desired = serving.read()
    found = []
    for environment in ENVIRONMENTS:
        route = desired.route(environment, project)
        if route is not None:
            found.append(
                Place(
                    environment=environment,
                    address=f"{serving.address(environment)}/{project}/v1/predict",
                    answers=release_server.is_ready(route.champion)
                    and not supervision.groups().isdisjoint(envoy.NAMES),
                    releases=tuple(_serving(desired, route, version) for version in route.versions),
                )
            )
    return tuple(found)


def _serving(desired: Desired, route: Route, version: str) -> Serving:
    challenger = version == route.challenger
    seen = Traffic()
    for number in range(envoy.COUNT):
        try:
            seen = seen + counters(number, [version])[version]
        except envoy.SILENT:
            continue
    processes = supervision.group(version)
    return Serving(
        version=version,
        role="challenger" if challenger else "champion",
        share=route.weight if challenger else 100 - route.weight,
        mirrored=challenger and route.mirror,
        running=sum(process["statename"] == "RUNNING" for process in processes),
        workers=desired.servers[version].workers,
        requests=seen.requests,
        errors=seen.errors,
        p50_ms=seen.percentile(0.5),
        p95_ms=seen.percentile(0.95),
    )


def standing(events: list[Event]) -> str:
    """Who serves, and how it stands, in one line."""
    tenure = ledger.tenures(events)[-1:]
    if not tenure:
        newest = ledger.newest(events)
        return f"{newest.version}, not deployed yet" if newest else "no release yet"
    version = tenure[0].version
    health = "healthy" if ledger.is_healthy(events, version) else "not found healthy yet"
    if version in forced(events):
        health += ", its forced blessing is OVER" if version in ended(events, clock.now().date()) else ", by force"
    serves = ledger.serving(events)
    place = f" on {serves.host}" if serves is not None and not host.own().wrote(serves.host) else ""
    return f"{version} serves{place} since {ledger.moment(tenure[0].since, seconds=False)} UTC, {health}"


def call(project: str) -> str:
    """A command that calls production with a row of the champion's test split, or "" before the first deploy."""
    route = serving.read().route("production", project)
    if route is None:
        return ""
    try:
        row = json.loads(release_server.example_file(route.champion).read_bytes())
    except (OSError, ValueError):
        return ""
    address = f"{serving.address()}/{project}/v1/predict"
    key = ' -H "Authorization: Bearer $PENSTOCK_API_KEY"' if api_key() else ""
    return f"curl -s {address} -H 'Content-Type: application/json'{key} -d {shlex.quote(json.dumps(row))}"
