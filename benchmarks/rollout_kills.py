"""kill -9 in the middle of a rollout under load, `penstock up`, and what the clients and the records show of it.

Every round rolls out tiny-v2 over tiny-v1 and kills at a random moment. Needs a checkout of `benchmarks/tiny.py`.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from benchmarks.rollout_check import disagreements
from benchmarks.rollout_load import load
from benchmarks.tiny import Tiny, serves
from tasks.machine.settings import settings
from tasks.platform import supervision
from tasks.serving import envoy, serving
from tasks.store import locks

KILLS = ("deploy", "model", "champion", "envoy", "supervisord", "everything")
LATEST = 5.0  # s after the start of the deploy: about its length
AGREE_SECONDS = 120.0  # then it does not any more; how long it took is in the round
UP = (
    "-c",
    "from tasks.platform import platform; platform.serve()",
)  # `penstock up` but for Prefect, which serves nobody


@dataclass(frozen=True)
class Round:
    """``outage``: longest gap between good answers (s); ``recovered``: from the kill until all agreed again (s).

    ``failed``: when, in seconds after the kill, the requests were sent that no good answer came to.
    """

    kill: str
    at: float
    requests: int
    failed: tuple[float, ...]
    outage: float
    recovered: float
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        when = f" ({self.failed[0]:.2f} to {self.failed[-1]:.2f} s after)" if self.failed else ""
        seen = f"{len(self.failed)} of {self.requests:,} requests failed{when}, outage {self.outage:5.2f} s"
        found = f"agrees again after {self.recovered:5.2f} s" if not self.wrong else f"DISAGREES: {self.wrong}"
        return f"{self.kill:<12} after {self.at:4.1f} s: {seen}, {found}"


def kill_round(tiny: Tiny, kill: str, seed: int, bodies: Sequence[bytes], rate: float = 150) -> Round:
    """One round, within the checkout (`benchmarks.tiny.within`)."""
    serves("tiny-v1")
    chance = random.Random(f"{kill} {seed}")
    moment = chance.uniform(0.5, LATEST)
    with load(serving.address(), "tiny", bodies, rate) as seen:
        deploy = tiny.deploy("tiny-v2")
        time.sleep(moment)
        for pid in victims(kill, deploy, chance):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed, at = time.monotonic(), time.time()
        if kill in ("supervisord", "everything"):
            tiny.python(*UP)
        wrong = _agree(killed)
        recovered = time.monotonic() - killed
        deploy.communicate(timeout=120)
        with locks.exclusive("deploy-tiny"):  # the warden may be at it, in the dead deploy's place
            pass
        wrong = wrong or _agree(time.monotonic())
        time.sleep(0.5)
    failed = tuple(round(request.at - at, 2) for request in seen.failed)
    return Round(kill, moment, len(seen.requests), failed, seen.outage, recovered, tuple(wrong))


def victims(kill: str, deploy: subprocess.Popen[str], chance: random.Random) -> list[int]:
    """The processes to kill."""
    route = serving.read().route("production", "tiny")
    champion = [process["pid"] for process in supervision.group(route.champion)] if route else []
    if kill == "deploy":
        return [deploy.pid]
    if kill == "model":
        return [chance.choice(champion)]
    if kill == "champion":
        return champion
    if kill == "envoy":
        return [chance.choice([process["pid"] for process in map(supervision.processes().get, envoy.NAMES)])]
    supervisor = int((settings().home / "supervisor" / "supervisord.pid").read_text())
    if kill == "supervisord":
        return [supervisor]
    children = psutil.Process(supervisor).children(recursive=True)
    return [supervisor, deploy.pid, *(child.pid for child in children)]


def _agree(since: float) -> list[str]:
    """What still disagrees a while after ``since``."""
    while (found := disagreements("tiny")) and time.monotonic() < since + AGREE_SECONDS:
        time.sleep(0.1)
    return found
