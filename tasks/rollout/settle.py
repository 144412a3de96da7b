"""Puts right what a process left that ended in the middle: a rollout without its leader, a ledger one event behind.

The deploy flow holds a lock that dies with it. A route that still names a challenger while nobody holds the lock is
the remains of one; nobody judges that challenger any more, so it gets no more requests.
"""

from __future__ import annotations

import logging

from penstock import ledger
from penstock.desired import Desired, Note, Route, with_route, with_untold
from penstock.errors import PenstockError, UnreachableError
from penstock.ledger import Event
from tasks.registry.ended import ended
from tasks.registry.registry import read_ledger
from tasks.registry.releases import tell
from tasks.rollout.untold import tell_untold
from tasks.serving import serving
from tasks.store import host, locks, patience

WHY = "its rollout broke off: the process that led it ended; it gets no more requests"

logger = logging.getLogger("penstock.settle")


def settle_all() -> tuple[list[Event], bool]:
    """Settle every project; returns what the ledger was told, and whether that was all.

    Projects that are being deployed are left out. One that cannot be settled now (its ledger is away or damaged, the
    store refuses, an Envoy does not follow) is logged, and keeps neither another nor what serves waiting.
    """
    told: list[Event] = []
    whole = True
    desired = serving.read()
    for project in sorted({server.project for server in desired.servers.values()} | desired.untold.keys()):
        with locks.tried(f"deploy-{project}") as mine, patience.within(patience.HURRY):
            try:
                told += settle(project) if mine else []
            except UnreachableError as error:
                logger.warning("%s: the ledger is told later: %s", project, error.found)
                mine = False
            except PenstockError as error:
                logger.error("%s: %s", project, error.text())
                mine = False
            whole = whole and mine
    return told, whole


def settle(project: str) -> list[Event]:
    """Settle one project. The caller holds its deploy lock. Returns what the ledger was told."""
    # first what clients feel, the ledger next; and the gateway may not have had what was written last
    serving.change(lambda desired: _without_rollout(desired, project))
    told = tell_untold(project)
    now = serving.read().route("production", project)
    known = ledger.serving_on(read_ledger(project), host.own())
    if now is not None and (known is None or known.version != now.champion):
        why, before = "found serving: what put it there ended before it could say", known.version if known else ""
        told.append(tell(project, "promoted", now.champion, why, champion=before))
    champion = now.champion if now else ""
    serving.retire(project, keep=ledger.last_healthy(read_ledger(project), champion, ended(project)))
    return told


def _without_rollout(desired: Desired, project: str) -> Desired:
    """Without a challenger. A champion that was promoted keeps its fallback until its bake is taken up again."""
    main, staging = desired.route("production", project), desired.route("staging", project)
    if main is None or not main.rollout:  # somebody was faster
        return desired
    if main.challenger and staging:
        desired = with_route(desired, "staging", project, Route(champion=main.champion, serve=main.serve))
    settled = Route(champion=main.champion, fallback=main.fallback, serve=main.serve)
    desired = with_route(desired, "production", project, settled)
    if not main.challenger:
        return desired
    return with_untold(desired, project, Note(change=main.rollout, kind="stopped", version=main.challenger, reason=WHY))
