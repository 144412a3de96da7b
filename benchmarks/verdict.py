"""The verdict under continuous looking: how often it fails a good release, and how soon a bad one.

    PYTHONPATH=. python benchmarks/verdict.py

Simulated, seeded, about a minute on one core. A look is `penstock.verdict.decide` on the counts so far, every
`EVERY` requests; default limits, six steps. The rules beside it are the usual ones: a one-sided z-test and an exact
binomial test at 5 %, right at one fixed sample size, and "above the limit with at least 100 requests".
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from penstock.agreement import Agreement
from penstock.release_config import RolloutConfig
from penstock.traffic import Traffic
from penstock.verdict import Evidence, Step, decide

CONFIG = RolloutConfig()
STEP = Step(name="canary 25 %", steps=6, baked=False)
STREAMS, LENGTH, EVERY = 200, 3000, 10
DETECTIONS = 100  # streams of a bad release
ENVOY = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, math.inf)  # Envoy's default buckets, ms
FINE = (*(round(1.25**power, 3) for power in range(42)), math.inf)
USUAL, SPREAD = 20.0, 0.5  # median latency in ms and sigma of its logarithm
ROLLOUT = (500, 500, 100, 150, 250, 500)  # requests in each step: replay, shadow, three canaries, bake

Look = Callable[[int], bool]


def main() -> None:
    draws = np.random.default_rng(7)
    print(f"False alarms among {STREAMS} releases exactly at the limit of {CONFIG.max_error_rate:.0%} errors,")
    print(f"looked at every {EVERY} requests up to {LENGTH:,} (allowed: {CONFIG.alpha:.0%} of rollouts)")
    bad = (draws.random((STREAMS, LENGTH)) < CONFIG.max_error_rate).cumsum(axis=1)
    for name, rule in {
        "penstock": ours,
        "z-test, 5 %": z_test,
        "exact binomial, 5 %": exact,
        "rate > limit": raw,
    }.items():
        alarms = sum(first(lambda n, row=row, rule=rule: rule(int(row[n - 1]), n)) is not None for row in bad)
        print(f"  {name:22} {alarms / STREAMS:6.1%}")

    print(f"\nRequests to the challenger until it fails ({DETECTIONS} streams, {EVERY} or fewer between looks)")
    print(f"  {'defect':44} {'median':>7} {'90 %':>7} {'found':>7}")
    for rate in (0.05, 0.1, 0.3):
        for name, share in (("beside 95 % of traffic", 19), ("beside 50 % of traffic", 1), ("alone", 0)):
            report(f"errors {rate:.0%}, {name}", lambda rate=rate, share=share: errors(draws, rate, share))
    for factor in (2, 5):
        for name, bounds in (("Envoy's buckets", ENVOY), ("buckets of 25 %", FINE)):
            report(f"latency x {factor}, {name}", lambda f=factor, bounds=bounds: latency(draws, f, bounds))
    for shift in (0.1, 0.2):
        report(f"shift {shift}, spread 0.05 (rows)", lambda shift=shift: shifted(draws, shift))

    print(f"\nRollouts of {sum(ROLLOUT):,} requests, each step judged once: how many passed them all, how many failed")
    for rate in (0.0, 0.002, 0.005, 0.01, 0.02):
        ends = [ending(draws, rate) for _ in range(STREAMS)]
        passed, failed = (ends.count(end) / STREAMS for end in ("pass", "fail"))
        print(f"  errors {rate:5.1%}: {passed:4.0%} and {failed:4.0%}, the others held")


def ending(draws: np.random.Generator, rate: float) -> str:
    """The first verdict that is no pass, of steps that are judged once, at their end. No step has a champion."""
    earlier: list[tuple[Traffic, Traffic | None]] = []
    for number, requests in enumerate(ROLLOUT):
        challenger = Traffic(requests=requests, errors=int(draws.binomial(requests, rate)), latency=((5.0, requests),))
        step = Step(name=f"step {number}", steps=len(ROLLOUT), baked=True, last=number == len(ROLLOUT) - 1)
        found = decide(CONFIG, step, Evidence(challenger=challenger, earlier=tuple(earlier))).decision
        if found != "pass":
            return found
        earlier.append((challenger, None))
    return "pass"


def report(name: str, stream: Callable[[], Look]) -> None:
    found = [first(stream()) for _ in range(DETECTIONS)]
    known = sorted(math.inf if one is None else one for one in found)
    median, most = known[DETECTIONS // 2], known[DETECTIONS * 9 // 10]
    caught = sum(one is not None for one in found) / DETECTIONS
    print(f"  {name:44} {median:7.0f} {most:7.0f} {caught:7.0%}")


def first(look: Look) -> int | None:
    """The first request at which ``look`` says fail: each one up to 100, then every tenth."""
    return next((n for n in (*range(1, 100), *range(100, LENGTH + 1, EVERY)) if look(n)), None)


def errors(draws: np.random.Generator, rate: float, share: int) -> Look:
    """The champion gets ``share`` requests for one to the challenger, and fails 0.2 % of them; 0: no champion."""
    mine = (draws.random(LENGTH) < rate).cumsum()
    others = (draws.random(LENGTH * max(share, 1)) < 0.002).cumsum()

    def look(n: int) -> bool:
        champion = Traffic(requests=n * share, errors=int(others[n * share - 1])) if share else None
        return fails(Evidence(challenger=Traffic(requests=n, errors=int(mine[n - 1])), champion=champion))

    return look


def latency(draws: np.random.Generator, factor: float, bounds: tuple[float, ...]) -> Look:
    mine, other = (USUAL * draws.lognormal(0, SPREAD, LENGTH) * by for by in (factor, 1.0))
    return lambda n: fails(Evidence(challenger=histogram(mine[:n], bounds), champion=histogram(other[:n], bounds)))


def histogram(values: np.ndarray, bounds: tuple[float, ...]) -> Traffic:
    counts = np.bincount(np.searchsorted(bounds, values), minlength=len(bounds))
    pairs = tuple((bound, int(count)) for bound, count in zip(bounds, counts, strict=True))
    return Traffic(requests=len(values), latency=pairs)


def shifted(draws: np.random.Generator, shift: float) -> Look:
    moved = draws.normal(shift, 0.05, LENGTH).clip(-1, 1)
    total, squares = moved.cumsum(), (moved * moved).cumsum()

    def look(n: int) -> bool:
        pairs = Agreement(rows=n, shift_sum=float(total[n - 1]), shift_squares=float(squares[n - 1]))
        return fails(Evidence(challenger=Traffic(requests=n), agreement=pairs))

    return look


def fails(seen: Evidence) -> bool:
    return decide(CONFIG, STEP, seen).decision == "fail"


def ours(bad: int, n: int) -> bool:
    return fails(Evidence(challenger=Traffic(requests=n, errors=bad)))


def z_test(bad: int, n: int) -> bool:
    limit = CONFIG.max_error_rate
    return n >= 30 and (bad / n - limit) / math.sqrt(limit * (1 - limit) / n) > 1.645


def exact(bad: int, n: int) -> bool:
    limit = CONFIG.max_error_rate
    below = sum(math.comb(n, k) * limit**k * (1 - limit) ** (n - k) for k in range(bad)) if bad <= 40 else tail(bad, n)
    return bad > 0 and 1 - below <= 0.05


def tail(bad: int, n: int) -> float:
    """The same sum by the normal approximation, which is close at such counts."""
    mean = n * CONFIG.max_error_rate
    return 0.5 * (1 + math.erf((bad - 0.5 - mean) / math.sqrt(2 * mean * (1 - CONFIG.max_error_rate))))


def raw(bad: int, n: int) -> bool:
    return n >= 100 and bad / n > CONFIG.max_error_rate


if __name__ == "__main__":
    main()
