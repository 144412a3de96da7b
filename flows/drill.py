"""drill: bad releases are rolled out in a sandbox, and have to be caught before a client sees a failure.

The sandbox has a home, ports and a ledger of its own; it serves the project's champion and shares the store, read
only. Each round rolls out the same release with one defect. What came of it is appended to the project's ledger.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Literal

from flows.deploy import roll_out
from penstock.config import Project
from penstock.errors import PackagingError, PenstockError
from penstock.refs import Value
from penstock.release_config import RolloutConfig
from penstock.verdict import Verdict
from tasks.data.project import load_project
from tasks.machine.settings import settings
from tasks.operations import sandbox
from tasks.registry import ledger_store
from tasks.registry.releases import packaged, tell
from tasks.rollout import traffic
from tasks.rollout.rollout import confirm_healthy, deploying, plan_rollout, withdraw
from tasks.rollout.rollout_routes import Rollout
from tasks.serving import serving
from tasks.store import store
from tasks.store.caching import file_refs

FAULTS = (
    "errors",
    "errors@canary",
    "slow",
    "slow@canary",
    "shift",
    "shift@canary",
    "nan",
    "crash",
    "leak",
    "dies@canary",
)
DOES_NOT_START = "crash"
# enough traffic for a verdict in seconds; the limits are the project's own
PACE = {
    "traffic": "live",
    "min_requests": 30,
    "shadow_seconds": 2,
    "steps": (25,),
    "step_seconds": 3,
    "bake_seconds": 3,
    "max_wait_seconds": 20,
}


Result = Literal["failed", "held", "promoted", "broke off"]


class Round(Value):
    """One bad release. ``detected``: seconds from the first production request to the verdict; ``recovered``: from
    the verdict until the champion alone answers. ``failed``: requests that a client saw fail.

    Caught is only a release that was judged, or refused because it does not start. That a rollout ``broke off`` for
    another reason says nothing of the defect.
    """

    fault: str
    result: Result
    step: str
    detected: float
    recovered: float
    requests: int
    failed: int
    reason: str

    @property
    def passed(self) -> bool:
        return self.result == "failed" and self.failed == 0

    def __str__(self) -> str:
        mark = "✓" if self.passed else "✗"
        times = f"{self.detected:5.1f} s to detect, {self.recovered:4.2f} s to recover" if self.step else " " * 38
        seen = f"{self.failed} of {self.requests:,} requests failed"
        why = "" if self.result == "failed" else f"\n      {self.result}: {self.reason}".rstrip(": ")
        return f"  {mark} {self.fault:<14} {self.step or 'start':<12} {times}  {seen}{why}"


class Drill(Value):
    """All rounds, of one release."""

    project: str
    version: str
    rounds: tuple[Round, ...]

    @property
    def passed(self) -> bool:
        return bool(self.rounds) and all(found.passed for found in self.rounds)

    def __str__(self) -> str:
        head = f"{self.project}: drill of {self.version} {'PASSED' if self.passed else 'FAILED'}"
        return "\n".join([head, *map(str, self.rounds)])


def drill(config: str, faults: tuple[str, ...] = FAULTS, rate: float = 150) -> Drill:
    """Run the drill in a process of its own, and put its result into the project's ledger.

    Raises DataError if the project has no release, PlatformError if the sandbox cannot be run.
    """
    project = load_project(config)
    release = packaged(project.name, _champion(project.name))
    for ref in file_refs(release.candidate):  # of a shared store, the sandbox has what is here
        store.locate(ref)
    with sandbox.folder("drill") as home:
        sandbox.link_home(home)
        ours = str(settings().ledger)
        arguments = [config, release.version, str(rate), *faults]
        said = sandbox.run("flows.drill", arguments, settings().root, home, PENSTOCK_DRILL_LEDGER=ours)
    found = Drill.model_validate_json(said.splitlines()[-1])
    worst = max((each.detected + each.recovered for each in found.rounds), default=0.0)
    caught = sum(each.passed for each in found.rounds)
    tell(
        project.name,
        "drilled",
        release.version,
        f"{caught} of {len(found.rounds)} bad releases caught, the slowest in {worst:.1f} s",
        passed=found.passed,
        seconds=round(worst, 1),
    )
    return found


def _champion(project: str) -> str:
    route = serving.read().route("production", project)
    return route.champion if route else ""


def sandboxed(config: str, version: str, rate: float, faults: tuple[str, ...]) -> Drill:
    """The drill itself, in the sandbox: this process's home."""
    project = _paced(load_project(config))
    _copy_ledger(project.name)
    good = packaged(project.name, version)
    bodies = traffic.held_out(good.candidate, project.features, 500)
    try:
        with deploying(project.name):
            first = Rollout(plan_rollout(project, version, "drill", force=False, reason=""), good, project)
            roll_out(first)
            confirm_healthy(first)
            rounds = tuple(_round(project, version, fault, bodies, rate) for fault in faults)
    finally:
        sandbox.down()
    return Drill(project=project.name, version=version, rounds=rounds)


def _round(project: Project, version: str, fault: str, bodies: list[bytes], rate: float) -> Round:
    bad = _registered_again(project.name, version)
    plan = plan_rollout(project, bad, f"drill{bad}", force=False, reason="")
    rollout = Rollout(plan, packaged(project.name, bad), project, fault=fault)
    requests = traffic.at_random(bodies, project.serve.sticky_header)
    sender = traffic.Sender(serving.address(), project.name, requests, rate, mark=False)
    with traffic.sending(sender):
        time.sleep(1)
        result, reasons = _result(rollout)
        judged = time.monotonic()
        withdraw(rollout, "failed" if result == "failed" else "held", reasons or ("it got through",))
        time.sleep(1)
    exposed = rollout.exposed or judged
    return Round(
        fault=fault,
        result=result,
        step=rollout.verdicts[-1][0] if rollout.verdicts and rollout.exposed else "",
        detected=round(judged - exposed, 2),
        recovered=round((rollout.withdrawn or judged) - judged, 3),
        requests=sender.sent,
        failed=sender.failed,
        reason="; ".join(reasons),
    )


def _result(rollout: Rollout) -> tuple[Result, tuple[str, ...]]:
    try:
        found = roll_out(rollout)
    except PackagingError as error:
        # every other defect begins with production's requests: a release that did not get there proves nothing
        return ("failed" if rollout.fault == DOES_NOT_START else "broke off"), _words(error)
    except PenstockError as error:
        return "broke off", _words(error)
    if not isinstance(found, Verdict):
        return "promoted", ()
    return ("failed" if found.decision == "fail" else "held"), found.reasons


def _words(error: PenstockError) -> tuple[str, ...]:
    return (error.what, *filter(None, (error.found,)))


def _paced(project: Project) -> Project:
    rollout = RolloutConfig.model_validate({**project.rollout.model_dump(), **PACE})
    return project.model_copy(update={"rollout": rollout})


def _copy_ledger(project: str) -> None:
    """The sandbox's ledger begins as the project's."""
    source = Path(os.environ["PENSTOCK_DRILL_LEDGER"]) / project
    folder = settings().ledger / project
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())


def _registered_again(project: str, version: str) -> str:
    """The same release under a new version, in the sandbox's ledger."""
    from penstock import ledger

    event = ledger_store.append(
        project,
        lambda events: {
            "kind": "registered",
            "version": ledger.next_version(events, project),
            "identity": f"drill-{len(events)}",
            "record": ledger.find(events, version).record,  # type: ignore[union-attr]
            "reason": "a drill",
            "facts": {},
        },
    )
    assert event is not None
    return event.version


if __name__ == "__main__":
    sandbox.stop_in_order()
    found = sandboxed(sys.argv[1], sys.argv[2], float(sys.argv[3]), tuple(sys.argv[4:]))
    sys.stdout.write(found.model_dump_json() + "\n")
