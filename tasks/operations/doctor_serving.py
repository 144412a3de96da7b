"""Doctor's checks of what serves: programs beside what is desired, and who has the ports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import psutil

from penstock.diagnosis import Finding, fail, ok, shortened, warn
from tasks.machine.settings import settings
from tasks.platform import supervision
from tasks.serving import envoy, release_server, serving


class Listener(NamedTuple):
    """Who listens where. ``pid`` is None for a process of another user."""

    address: str
    port: int
    pid: int | None


LOOPBACK = ("127.", "::1", "::ffff:127.")


def ports_free() -> Iterator[Finding]:
    """Who listens where production and staging are reached; and whether any port of ours is open to other machines."""
    listens = [
        Listener(found.laddr.ip, found.laddr.port, found.pid)
        for found in psutil.net_connections("tcp")
        if found.status == "LISTEN" and found.laddr
    ]
    chosen, given = serving.read().ports, settings()
    for name, port, wanted in (
        ("production", chosen.production, given.production_port),
        ("staging", chosen.staging, given.staging_port),
    ):
        at = port or wanted
        holders = {found.pid for found in listens if found.port == at}
        strangers = [_named(pid) for pid in holders if not _is_ours(pid)]
        if not at:
            yield ok("ports", f"{name}: a free one is chosen by the first deploy")
        elif strangers:
            variable = f"PENSTOCK_{name.upper()}_PORT"
            yield warn(
                "ports",
                f"{name}: {at} is held by {shortened(strangers)}",
                f"stop it, or set {variable}; otherwise another port is taken",
            )
        else:
            yield ok("ports", f"{name}: {at} is {'ours' if holders else 'free'}")
    yield from _exposed(listens)


def _exposed(listens: list[Listener]) -> Iterator[Finding]:
    """Ports of this home's gateway that other machines reach; PENSTOCK_LISTEN, which opens a container's server."""
    wide = [found for found in listens if not found.address.startswith(LOOPBACK) and _is_ours(found.pid)]
    asked = os.environ.get("PENSTOCK_LISTEN", "").rpartition(":")[0]
    open_to_all = [str(found.port) for found in wide] + (
        [f"PENSTOCK_LISTEN={asked}"] if asked and not asked.startswith(LOOPBACK) else []
    )
    key = bool(os.environ.get("PENSTOCK_API_KEY"))
    if open_to_all and not key:
        yield fail(
            "api key",
            f"{shortened(open_to_all)} can be reached by other machines, and no key is asked for",
            "set PENSTOCK_API_KEY, then penstock down && penstock up",
        )
    else:
        yield ok("api key", "set" if key else "none, and none is needed: only this machine reaches the ports")


def serving_programs() -> Iterator[Finding]:
    """What supervisord runs beside what is to serve. Looks only: `penstock up` puts it in order."""
    desired, processes = serving.read(), supervision.processes()
    if not processes:
        if desired.servers:
            yield warn("serving", f"{shortened(sorted(desired.servers))} is to serve, and nothing runs", "penstock up")
        else:
            yield ok("serving", "nothing is to serve, and nothing runs")
        return
    groups = supervision.groups()
    ended = sorted(name for name, found in processes.items() if found["statename"] in ("FATAL", "BACKOFF", "EXITED"))
    lost = sorted(set(desired.servers) - groups)
    extra = sorted(name for name in groups if _is_release(name, set(desired.servers)))
    silent = [version for version in desired.servers if version in groups and not release_server.is_ready(version)]
    gates = [name for number, name in enumerate(envoy.NAMES) if desired.servers and not envoy.is_live(number, 0.3)]
    for names, words in (
        (ended, "keeps ending"),
        (lost, "is to serve and does not run"),
        (extra, "runs and is not to serve"),
        (silent, "runs and does not answer at /readyz"),
        (gates, "does not accept requests"),
    ):
        if names:
            log = supervision.logs() / f"{names[0].partition('_')[0]}.log"
            yield fail("serving", f"{shortened(names)} {words}", f"penstock up; if it stays so, see {log}")
    if not (ended or lost or extra or silent or gates):
        serves = shortened(sorted(desired.servers)) or "no release"
        yield ok("serving", f"{serves}; {len(processes)} programs run, as desired")


def _is_release(group: str, desired: set[str]) -> bool:
    """Whether a group is a release that is not desired: named like one, and none of the platform's programs."""
    name, _, number = group.rpartition("-v")
    return bool(name) and number.isdecimal() and group not in desired


def _is_ours(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
    except psutil.Error:
        return False
    return supervision.is_ours(process)


def _named(pid: int | None) -> str:
    """The process that holds a port, as a person looks for it."""
    if pid is None:
        return "a process of another user"
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
