"""Puts right what a process left that ended in the middle: a rollout without its leader, a ledger one event behind.

The deploy flow holds a lock that dies with it. A route that still names a challenger while nobody holds the lock is
the remains of one; nobody judges that challenger any more, so it gets no more requests.
"""

from __future__ import annotations

from penstock import ledger
from penstock.desired import Desired, Route, with_route
from tasks import locks, serving
from tasks.registry import read_ledger
from tasks.releases import tell


def settle_all() -> list[str]:
    """Settle every project that serves and that nobody deploys just now; returns what was put right."""
    told = []
    for project in sorted({*serving.read().production, *serving.read().staging}):
        with locks.tried(f"deploy-{project}") as mine:
            if mine:
                told += settle(project)
    return told


def settle(project: str) -> list[str]:
    """Settle one project. The caller holds its deploy lock. Returns what was put right, in words."""
    told = []
    route = serving.read().route("production", project)
    challenger = route.challenger if route else ""
    if challenger:
        serving.change(lambda desired: _without_challenger(desired, project))
        tell(project, "stopped", challenger, "its rollout broke off: the process that led it ended")
        serving.retire(project, keep=ledger.last_healthy(read_ledger(project)))
        told.append(f"{challenger}: its rollout had broken off; it gets no more requests")
    now = serving.read().route("production", project)
    known = ledger.serving(read_ledger(project))
    if now is not None and (known is None or known.version != now.champion):
        before = known.version if known else ""
        tell(
            project,
            "promoted",
            now.champion,
            "found serving: what put it there ended before it could say",
            champion=before,
        )
        told.append(f"{now.champion} serves; the ledger did not know yet")
    return told


def _without_challenger(desired: Desired, project: str) -> Desired:
    for environment in ("production", "staging"):
        route = desired.route(environment, project)
        main = desired.route("production", project)
        if route and main:
            desired = with_route(desired, environment, project, Route(champion=main.champion, serve=route.serve))
    return desired
