"""Metrics of what serves on this machine: releases, their shares, processes and traffic, programs, the disk."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence

from penstock.desired import Desired, Server
from penstock.ledger import Event
from penstock.traffic import Traffic
from tasks.machine.settings import settings
from tasks.monitoring.exposed import Sample, seconds
from tasks.platform import supervision
from tasks.serving import envoy, serving
from tasks.serving.evidence import counters

ROLLING = ("staged", "shadow", "canary", "waiting", "approved")  # events of a rollout that goes on


def machine() -> Iterator[Sample]:
    """The disk, and the programs that supervisord keeps alive besides releases."""
    with contextlib.suppress(OSError):
        disk = os.statvfs(settings().home)
        yield Sample("penstock_home_free_bytes", (), disk.f_bavail * disk.f_frsize)
        yield Sample("penstock_home_size_bytes", (), disk.f_blocks * disk.f_frsize)
    for name, found in sorted(supervision.processes().items()):
        if not re.fullmatch(r".+-v\d+", found["group"]):
            yield Sample("penstock_program_running", (name,), found["statename"] in ("RUNNING", "STARTING"))


def releases() -> Iterator[Sample]:
    """Every release whose servers are to run. Raises StorageError if what is desired cannot be read."""
    desired = serving.read()
    processes = list(supervision.processes().values())
    for version, server in sorted(desired.servers.items()):
        labels = (server.project, version)
        mine = [found for found in processes if found["group"] == version]
        running = sum(found["statename"] == "RUNNING" for found in mine)
        yield Sample("penstock_release_info", (*labels, state_of(desired, server)), 1)
        yield Sample("penstock_release_processes_running", labels, running)
        yield Sample("penstock_release_processes_wanted", labels, server.workers)
        route = desired.route("production", server.project)
        weight, mirrored = 0, False
        if route is not None and version == route.challenger:
            weight, mirrored = route.weight, route.mirror
        elif route is not None and version == route.champion:
            weight = 100 - route.weight
        yield Sample("penstock_release_weight_ratio", labels, weight / 100)
        yield Sample("penstock_release_mirrored", labels, mirrored)
    for number in range(envoy.COUNT):
        yield from _traffic(desired, number)


def state_of(desired: Desired, server: Server) -> str:
    """champion, challenger or fallback of production; staging; or idle: no route names it."""
    route = desired.route("production", server.project)
    if route is not None:
        roles = {route.fallback: "fallback", route.challenger: "challenger", route.champion: "champion"}
        if server.version in roles:
            return roles[server.version]
    staged = desired.route("staging", server.project)
    return "staging" if staged is not None and server.version in staged.versions else "idle"


def rollout(project: str, events: Sequence[Event]) -> Iterator[Sample]:
    """Since when the challenger of production is one, by the ledger."""
    route = serving.read().route("production", project)
    if route is None or not route.challenger:
        return
    since = ""
    for event in reversed(events):
        if event.version == route.challenger and event.kind in ROLLING:
            since = event.time
        elif event.version == route.challenger:
            break
    if since:
        yield Sample("penstock_rollout_since_timestamp_seconds", (project, route.challenger), seconds(since))


def _traffic(desired: Desired, number: int) -> Iterator[Sample]:
    if not desired.servers:
        return
    try:
        found = counters(number, sorted(desired.servers))
    except envoy.SILENT:
        return  # that it does not answer is a metric of Prometheus's own: `up`
    for version, seen in found.items():
        labels = (desired.servers[version].project, version, str(number))
        yield Sample("penstock_release_attempts_total", labels, seen.requests)
        yield Sample("penstock_release_failed_attempts_total", labels, seen.errors)
        yield Sample("penstock_release_latency_seconds", labels, _seconds(seen))


def _seconds(seen: Traffic) -> tuple[tuple[float, int], ...]:
    return tuple((bound / 1000, count) for bound, count in seen.latency)
