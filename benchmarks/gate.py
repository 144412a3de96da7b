"""The gate's paired bootstrap: how long it takes, and how often its rules are wrong.

    PYTHONPATH=. python -m benchmarks.gate

Simulated, seeded. First the time of 100,000 rows and 1,000 resamples. Then pairs of models whose true loss of AUC is
known from a million rows: equal ones, and a candidate that is worse by exactly the margin (which must not pass more
often than 1 - confidence) or by twice that. Then slices, of which none or one is worse.
"""

from __future__ import annotations

import os
import time

import numpy as np

from penstock.non_inferiority import in_slices, overall
from penstock.paired import Loss, Question, holm, losses
from penstock.task_type import LOWER_IS_BETTER
from penstock.weighted_metrics import binary_statistic

ROWS, RESAMPLES, BINS, CONFIDENCE = 100_000, 1000, 15, 0.95
METRICS = ("auc", "log_loss", "calibration_error")
GROUPS = 10  # values of the sliced column
PAIRS, SMALL, DRAWS = 400, 2000, 200  # pairs of models, their test rows, resamples
MARGIN = 0.01
SLICES, SLICE_MARGIN = 12, 0.02

Pair = tuple[np.ndarray, np.ndarray, np.ndarray]  # label, the champion's score, the candidate's


def main() -> None:
    timed()
    print(f"\nCandidates that pass `max_loss: {MARGIN}` of AUC, {PAIRS} pairs on {SMALL:,} test rows each")
    print(
        f"  {'true loss':>10} {'by its limit':>13} {'by its value':>13} {'limits hold it':>15} {'standard error':>15}"
    )
    for name, target in (("equal", 0.0), ("the margin", MARGIN), ("twice that", 2 * MARGIN)):
        rates(name, noise_for(target))
    print(f"\nCandidates rejected by `max_loss: {SLICE_MARGIN}` in {SLICES} slices, {PAIRS} each; one may be worse")
    print(f"  {'noise of a slice':>17} {'it is worse by':>15} {'Holm alone':>11} {'the rule':>9} {'by its value':>13}")
    for error in (0.5, 1.0, 2.0):
        for worse in (0.0, 2.0, 4.0):
            sliced(error * SLICE_MARGIN, worse * SLICE_MARGIN)


def timed() -> None:
    pair = drawn(np.random.default_rng(1), ROWS, 0.5)
    group = np.random.default_rng(2).integers(0, GROUPS, ROWS)
    slices = [np.flatnonzero(group == at) for at in range(GROUPS)]
    cases: dict[str, list[np.ndarray]] = {"all rows": [], f"all rows and {GROUPS} slices": slices}
    for name, parts in cases.items():
        started = time.perf_counter()
        asked = [question(metric, pair) for metric in METRICS]
        asked += [question(metric, pair, at) for metric in METRICS for at in parts]
        losses(asked, ROWS, RESAMPLES, 7, os.cpu_count() or 1)
        took = time.perf_counter() - started
        print(f"{took:6.2f} s  {ROWS:,} rows, {RESAMPLES:,} resamples, {' + '.join(METRICS)}, {name}")


def rates(name: str, noise: tuple[float, float]) -> None:
    passed = point = inside = 0
    errors = []
    truth = loss_of(drawn(np.random.default_rng(99), 1_000_000, *noise))
    for seed in range(PAIRS):
        [found] = losses([question("auc", drawn(np.random.default_rng([3, seed]), SMALL, *noise))], SMALL, DRAWS, seed)
        assert found.loss is not None and found.error is not None
        low, high = found.interval(CONFIDENCE) or (0, 0)
        passed += overall(found, MARGIN, CONFIDENCE).passed
        point += found.loss <= MARGIN
        inside += low <= truth <= high
        errors.append(found.error)
    shares = [passed / PAIRS, point / PAIRS, inside / PAIRS]
    print(f"  {truth:10.4f} {shares[0]:13.1%} {shares[1]:13.1%} {shares[2]:15.1%} {np.mean(errors):7.4f}   {name}")


def sliced(error: float, worse: float) -> None:
    """Losses drawn around what is true: the rule itself, apart from the bootstrap."""
    draws = np.random.default_rng(5)
    count = np.zeros(3)
    for _ in range(PAIRS):
        errors = error * np.exp(draws.normal(0, 0.3, SLICES))  # slices of different sizes
        truth = np.zeros(SLICES)
        truth[0] = worse
        values = truth + errors * draws.normal(size=SLICES)
        found = [
            Loss(metric="auc", rows=1, loss=float(value), error=float(spread), column="c", value=str(at))
            for at, (value, spread) in enumerate(zip(values, errors, strict=True))
        ]
        count += [
            any(holm([loss.within(SLICE_MARGIN) for loss in found], 1 - CONFIDENCE)),
            not all(answer.passed for answer in in_slices([(loss, SLICE_MARGIN) for loss in found], CONFIDENCE)),
            bool((values > SLICE_MARGIN).any()),
        ]
    holm_alone, rule, point = count / PAIRS
    print(f"  {error:17.3f} {worse:15.3f} {holm_alone:11.1%} {rule:9.1%} {point:13.1%}")


def drawn(draws: np.random.Generator, rows: int, candidate: float, champion: float = 0.5) -> Pair:
    """Labels of which about a fifth are True, and two models that see the same signal, each with noise of its own."""
    signal = draws.normal(size=rows)
    label = draws.random(rows) < 1 / (1 + np.exp(1.7 - signal))
    scores = [signal + noise * draws.normal(size=rows) for noise in (champion, candidate)]
    return label, *((1 / (1 + np.exp(1.7 - score))).astype(np.float32) for score in scores)


def noise_for(target: float) -> tuple[float, float]:
    """(the candidate's noise, the champion's) for which the candidate's AUC is worse by ``target``."""
    low, high = 0.5, 2.0
    for _ in range(12 if target else 0):
        middle = (low + high) / 2
        more = loss_of(drawn(np.random.default_rng(98), 1_000_000, middle)) < target
        low, high = (middle, high) if more else (low, middle)
    return (low, 0.5) if target else (0.5, 0.5)


def loss_of(pair: Pair) -> float:
    label, champion, candidate = pair
    once = np.ones((1, len(label)))
    mine, other = (float(binary_statistic("auc", label, score, 0.5, BINS)(once)[0]) for score in (candidate, champion))
    return other - mine


def question(metric: str, pair: Pair, at: np.ndarray | None = None) -> Question:
    rows = slice(None) if at is None else at
    label, champion, candidate = (one[rows] for one in pair)
    made = [binary_statistic(metric, label, score, 0.5, BINS) for score in (candidate, champion)]
    return Question(metric, metric in LOWER_IS_BETTER, *made, at, "c" if at is not None else "")


if __name__ == "__main__":
    main()
