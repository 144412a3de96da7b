"""Judges a step of a rollout by what is seen, again and again, until it is decided or its longest wait is over."""

from __future__ import annotations

import time
from typing import Protocol

from penstock.agreement import Agreement
from penstock.rollout_checks import slow_bound
from penstock.verdict import Evidence, Step, Verdict, decide
from tasks.machine.steps import StepEvent, emit
from tasks.rollout.rollout_routes import Rollout, require_ours
from tasks.serving.evidence import Watch

LOOK_SECONDS = 0.25
LOOKS_A_LINE = 4  # looks between two lines of progress


class Compared(Protocol):
    """Answers of challenger and champion to the same requests, as they come in."""

    def look(self) -> Agreement: ...


def watch(
    rollout: Rollout,
    name: str,
    seconds: float,
    *,
    pairs: Compared | None = None,
    alone: bool = False,
    last: bool = False,
) -> Verdict:
    """The step's verdict. ``seconds``: its least time; ``pairs``: answers to compare; ``alone``: without a champion
    beside it; ``last``: after it the release is healthy."""
    plan, config = rollout.plan, rollout.project.rollout
    versions = (plan.version,) if alone else (plan.version, plan.champion)
    counters, began = Watch(*versions), time.monotonic()
    looks = 0
    while True:
        time.sleep(LOOK_SECONDS)
        require_ours(rollout)
        took = time.monotonic() - began
        seen = counters.look()
        challenger, champion = seen[plan.version], None if alone else seen[plan.champion]
        step = Step(
            name=name,
            steps=rollout.steps,
            baked=took >= seconds,
            # a project's first release has nobody to stay with: what it answered in staging has decided
            waited_out=took >= (max(seconds, config.max_wait_seconds) if plan.champion else seconds),
            last=last,
        )
        evidence = Evidence(
            challenger=challenger,
            champion=champion,
            earlier=tuple(rollout.earlier),
            agreement=pairs.look() if pairs else None,
            expected=rollout.expected,
            slow_ms=rollout.slow_ms if alone else None,
        )
        verdict = decide(config, step, evidence, rollout.project.evaluate.min_slice_rows)
        if verdict.decision != "hold" or step.waited_out:
            rollout.earlier.append((challenger, champion))
            if champion is not None:
                rollout.slow_ms = slow_bound(champion, challenger, config) or rollout.slow_ms
            return judged(rollout, step, verdict)
        looks += 1
        if looks % LOOKS_A_LINE == 0:
            emit(StepEvent(name=name, state="progress", summary=f"{challenger.requests:,} requests", share=0))


def judged(rollout: Rollout, step: Step, verdict: Verdict) -> Verdict:
    rollout.verdicts.append((step.name, verdict))
    return verdict
