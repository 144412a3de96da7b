"""Rollouts and what can go wrong in them, measured: `uv run python -m benchmarks.rollout [--quick] [--only PART]`.

On the tests' tiny project, with real Envoys, supervisord and BentoML servers, under load from a process of its own:
a whole rollout; the bad releases of `penstock drill`; kill -9 of every part at random moments; rollbacks; a rollout
that almost nobody sends requests to. Prints what it saw; the whole takes about an hour, `--quick` ten minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.rollout_check import settled
from benchmarks.rollout_kills import KILLS, kill_round
from benchmarks.rollout_load import Load, Request, load, percentile
from benchmarks.tiny import Tiny, bodies, serves, trained, within

REQUESTS = 20_000
RATE = 500.0
PHASES = ("staged", "shadow", "canary", "promoted", "healthy")


def whole(tiny: Tiny, quick: bool) -> None:
    """v1 -> v2 by `penstock deploy`, under constant load."""
    serves("tiny-v1")
    seconds = (REQUESTS // 10 if quick else REQUESTS) / RATE
    tiny.change(traffic="live", shadow_seconds=seconds / 5, steps=[10, 50], step_seconds=seconds / 5,
                bake_seconds=seconds / 5, max_wait_seconds=120)  # fmt: skip
    with loaded() as seen:
        time.sleep(2)
        began = time.time()
        said = tiny.penstock("deploy", "tiny", "tiny-v2")
        time.sleep(2)
    print(said.strip().splitlines()[-1])
    summary("all", seen.requests)
    for (name, start), (_, end) in pairwise([("before", 0.0), ("start", began), *_phases(), ("end", float("inf"))]):
        summary(name, seen.between(start, end))
    for version in ("tiny-v1", "tiny-v2"):
        summary(version, [request for request in seen.requests if request.version == version])
    agreed()


def bad(tiny: Tiny, quick: bool) -> None:
    """The bad releases of `penstock drill`, in its sandbox."""
    from flows.drill import FAULTS, drill

    serves("tiny-v1")
    tiny.change()
    print(drill("tiny", FAULTS[:2] if quick else FAULTS))


def kills(tiny: Tiny, quick: bool) -> None:
    """kill -9 at random moments of a rollout."""
    tiny.change()
    for kill in KILLS:
        found = [kill_round(tiny, kill, seed, bodies()) for seed in range(2 if quick else 20)]
        for each in found:
            print(f"  {each}", flush=True)
        failed, requests = sum(len(each.failed) for each in found), sum(each.requests for each in found)
        worst = max(each.outage for each in found), max(each.recovered for each in found)
        wrong = sum(bool(each.wrong) for each in found)
        said = f"{failed} of {requests:,} requests failed in {len(found)} rounds; longest outage {worst[0]:.2f} s"
        print(f"{kill}: {said}, longest until all agreed {worst[1]:.2f} s; {wrong} rounds disagreed", flush=True)


def back(tiny: Tiny, quick: bool) -> None:
    """`penstock rollback` to a target whose servers run, and to one whose servers do not."""
    from tasks.serving import serving

    for warm in (True, False):
        print("warm:" if warm else "cold:")
        for _ in range(1 if quick else 5):
            serves("tiny-v2", warm="tiny-v1")
            if not warm:
                serving.retire("tiny")
            with loaded() as seen:
                time.sleep(2)
                began = time.time()
                said = tiny.penstock("rollback", "tiny", "--reason", "measured")
                ended = time.time()
                time.sleep(1)
            answered = (seen.first_from("tiny-v1", began) or float("nan")) - began
            times = f"{answered:.2f} s from command to traffic, command {ended - began:.2f} s"
            print(
                f"  {times}, {len(seen.failed)} of {len(seen.requests):,} requests failed; {said.strip()}", flush=True
            )
    agreed()


def idle(tiny: Tiny, quick: bool) -> None:
    """A request every two seconds, and a short wait: not enough to judge by."""
    serves("tiny-v1")
    tiny.change(traffic="live", max_wait_seconds=6 if quick else 20)
    with loaded(rate=0.5, connections=1) as seen:
        try:
            said = tiny.penstock("deploy", "tiny", "tiny-v2")
        except RuntimeError as error:
            said = str(error)
    print(said.strip())
    summary("all", seen.requests)
    agreed()


def loaded(rate: float = RATE, connections: int = 32) -> AbstractContextManager[Load]:
    from tasks.serving import serving

    return load(serving.address(), "tiny", bodies(), rate, connections)


def summary(name: str, requests: list[Request]) -> None:
    failed = sum(not request.good for request in requests)
    times = f"p50 {percentile(requests, 0.5):5.1f} ms, p99 {percentile(requests, 0.99):6.1f} ms"
    print(f"  {name:<12} {len(requests):7,} requests, {failed} failed, {times}")


def agreed() -> None:
    print(f"  what runs and what is desired: {settled('tiny') or 'agree'}", flush=True)


def _phases() -> list[tuple[str, float]]:
    """When tiny-v2 came how far (epoch s), by the ledger."""
    from tasks.registry.registry import read_ledger

    found = [event for event in read_ledger("tiny") if event.version == "tiny-v2" and event.kind in PHASES]
    named = ((f"{event.kind} {event.facts.get('weight', '')}".strip(), event.time) for event in found)
    return [(name, datetime.fromisoformat(at).timestamp()) for name, at in named]


PARTS: dict[str, Callable[[Tiny, bool], None]] = {
    "whole": whole,
    "bad": bad,
    "kills": kills,
    "back": back,
    "idle": idle,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds of each kill, a tenth of the requests")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be given again")
    given = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as scratch:
        environments = Path(scratch) / "environments"
        environments.mkdir()
        with within(trained(Path(scratch) / "checkout", environments)) as tiny:
            for name in given.only or PARTS:
                print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
                PARTS[name](tiny, given.quick)


if __name__ == "__main__":
    main()
