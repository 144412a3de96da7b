"""Who answers during a rollout: the changes of the route, each made only while the rollout has the say.

A rollout leaves its id in the route it changes. Whoever changes the route meanwhile (a rollback, another deploy after
a crash) takes the id out, and the rollout ends at its next look.
"""

from __future__ import annotations

import time
import uuid
from typing import Literal

from penstock.agreement import Agreement
from penstock.config import Project
from penstock.desired import Desired, Note, Route, with_route, with_untold
from penstock.errors import RolloutError
from penstock.rollout import Plan
from penstock.traffic import Traffic
from penstock.verdict import Verdict
from tasks.platform import supervision
from tasks.registry.releases import Packaged
from tasks.serving import envoy, serving


class Rollout:
    """One rollout while it goes on: its plan, and what was seen in the steps so far."""

    def __init__(self, plan: Plan, release: Packaged, project: Project, fault: str = "") -> None:
        self.plan, self.release, self.project, self.fault = plan, release, project, fault
        self.exposed: float | None = None  # when production traffic first reached the release (monotonic seconds)
        self.withdrawn: float | None = None  # when no more did
        self.earlier: list[tuple[Traffic, Traffic | None]] = []
        self.slow_ms: float | None = None
        self.expected: Agreement | None = None  # of its answers and the champion's, by the test rows
        self.verdicts: list[tuple[str, Verdict]] = []

    @property
    def steps(self) -> int:
        """Judged steps in all, which share the chance of a false alarm: replay, shadow, canaries, bake."""
        return 3 + len(self.project.rollout.steps)


def point(rollout: Rollout, *, challenger: str, weight: int = 0, mirror: bool = False) -> None:
    plan = rollout.plan

    def edit(desired: Desired) -> Desired:
        _require_ours(rollout, desired)
        route = Route(
            champion=plan.champion,
            challenger=challenger,
            weight=weight,
            mirror=mirror,
            rollout=plan.id,
            serve=rollout.project.serve,
        )
        return with_route(desired, "production", plan.project, route)

    serving.change(edit)
    rollout.exposed = rollout.exposed or time.monotonic()


def promoted(desired: Desired, rollout: Rollout) -> Desired:
    """The release answers everything; until it is healthy, what it fails is answered by the champion of before."""
    plan = rollout.plan
    _require_ours(rollout, desired)
    fallback = plan.champion if plan.champion in desired.servers else ""
    route = Route(champion=plan.version, fallback=fallback, rollout=plan.id, serve=rollout.project.serve)
    return with_route(desired, "production", plan.project, route)


def withdrawn(desired: Desired, rollout: Rollout, kind: Literal["failed", "held"], reasons: tuple[str, ...]) -> Desired:
    """The champion answers everything again, and the ledger is to be told why."""
    plan, why, change = rollout.plan, "; ".join(reasons), uuid.uuid4().hex[:12]
    route = desired.route("production", plan.project)
    notes = [Note(change=change, kind=kind, version=plan.version, reason=why, facts={"serving": plan.champion})]
    if kind == "failed":
        if plan.champion and route and route.champion == plan.version:
            back, facts = f"{plan.version} failed: {reasons[0]}", {"bad": plan.version, "verdict": "failed"}
            notes.append(Note(change=change, kind="rolled back", version=plan.champion, reason=back, facts=facts))
        notes.append(Note(change=change, kind="quarantined", version=plan.version, reason=why))
    return with_untold(_champion_only(desired, rollout), plan.project, *notes)


def _champion_only(desired: Desired, rollout: Rollout) -> Desired:
    plan = rollout.plan
    route = Route(champion=plan.champion, serve=rollout.project.serve) if plan.champion else None
    main, staging = desired.production.get(plan.project), desired.staging.get(plan.project)
    if main is not None and main.rollout == plan.id:
        desired = with_route(desired, "production", plan.project, route)
    elif main is not None and plan.version in main.versions:
        return desired  # somebody else has put it there
    if staging is not None and plan.version in staging.versions:
        desired = with_route(desired, "staging", plan.project, route)
    return desired


def settled(desired: Desired, rollout: Rollout) -> Desired:
    plan = rollout.plan
    _require_ours(rollout, desired)
    route = Route(champion=plan.version, serve=rollout.project.serve)
    return with_route(desired, "production", plan.project, route)


def require_ours(rollout: Rollout) -> None:
    """Raise RolloutError if somebody else has the say now, or if everything was stopped."""
    require_platform(rollout.plan)
    route = serving.read().route("production", rollout.plan.project)
    if route is None or route.rollout != rollout.plan.id:
        raise superseded(rollout.plan)


def require_platform(plan: Plan) -> None:
    """Raise RolloutError if everything was stopped: nothing is seen then, and that is not the release's fault."""
    if not any(map(supervision.has, envoy.NAMES)) or not supervision.running():
        raise RolloutError(
            f"The rollout of `{plan.version}` broke off: the platform was stopped.",
            next_step=f"penstock up; then penstock deploy {plan.project} {plan.version}",
        )


def _require_ours(rollout: Rollout, desired: Desired) -> None:
    """Raise RolloutError if somebody else has changed the route since this rollout did, or since it was planned.

    Asked where the route is changed, under the lock: a rollback may have waited for the same moment.
    """
    plan = rollout.plan
    route = desired.route("production", plan.project)
    if route is None:
        ours = not plan.champion
    else:
        ours = route.champion in (plan.champion, plan.version) and route.rollout == (plan.id if rollout.exposed else "")
    if not ours:
        raise superseded(plan)


def superseded(plan: Plan) -> RolloutError:
    return RolloutError(
        f"The rollout of `{plan.version}` was ended by somebody else.",
        next_step=f"penstock history {plan.project}",
    )
