"""Whether a candidate may become a release. `decide()` is a pure function of numbers and thresholds, and fails closed.

The rules are those of TFX's evaluator (value and change thresholds, per slice) without its traps: nothing configured,
a metric that is missing, rows too few, a slice that vanished, a champion that cannot be scored: none of them passes.
Bounds of value are of the metric as measured. Bounds of change ask how sure it is: see `penstock/non_inferiority.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from penstock.config import EvaluateConfig, GateConfig
from penstock.gate_checks import Check, Measured, change_checks, finite, value_checks, verdict
from penstock.paired import Loss
from penstock.refs import Value
from penstock.task_type import LOWER_IS_BETTER

NOTHING_TO_JUDGE_BY = "thresholds"  # the check that fails where no threshold is configured, or none can be compared


class Decision(Value):
    """The verdict with every check behind it; `reasons` are the failed ones in words."""

    passed: bool
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]
    champion: str  # the version compared with, or ""

    def __str__(self) -> str:
        failed = sum(not check.passed for check in self.checks)
        return (
            f"passed, {len(self.checks)} checks"
            if self.passed
            else f"rejected, {failed} of {len(self.checks)} checks failed"
        )


def decide(
    gate: GateConfig,
    evaluate: EvaluateConfig,
    candidate: dict[str, Any],
    baseline: dict[str, Any] | None = None,
    champion: str = "",
    same_model: bool = False,
    losses: Sequence[Loss] = (),
    more: Sequence[Check] = (),
) -> Decision:
    """Judge ``candidate``'s metrics, beside those of ``champion`` on the same rows where there is one.

    ``candidate`` and ``baseline`` are what `tasks/training/evaluation.py` stores as metrics.json; ``losses`` what
    `tasks/training/pairing.py` found between them. ``same_model``: the candidate is the champion, byte for byte, so
    that a tie cannot be judged. ``more``: checks made elsewhere. Nothing is raised: what is missing is a failed check.
    """
    comparable = baseline is not None and not baseline.get("incomparable")
    checks = [*_size_checks(gate, candidate)]
    missing = all(finite(_metric(candidate, metric)) is None for metric in gate.metrics)
    if (not gate.metrics and not gate.slices) or (gate.metrics and missing and gate.on_missing_metric == "ignore"):
        checks.append(verdict(NOTHING_TO_JUDGE_BY, None, None, "configured under `gate.metrics`, and defined", False))
    if baseline is None:
        checks.append(_first_model(gate))
    elif not comparable:
        checks.append(
            verdict(
                "champion",
                None,
                None,
                "scored on the same rows",
                gate.incomparable == "value_only",
                str(baseline["incomparable"]),
            )
        )
    against = baseline if comparable else None
    known = {(loss.metric, loss.column, loss.value): loss for loss in losses}
    for metric, bound in gate.metrics.items():
        measured = Measured(
            metric, metric, bound, _metric(candidate, metric), _metric(against, metric), known.get((metric, "", ""))
        )
        checks += value_checks(gate, measured)
        if against is not None:
            checks += change_checks(gate, [measured])
        if bound.min_gain is not None:
            checks += _gain_checks(gate, metric, bound.min_gain, candidate)
    if gate.slices:
        checks += _slice_checks(gate, evaluate, candidate, against, known)
    if against is not None and not same_model and gate.ties == "keep_current":
        gated = [*gate.metrics]
        differs = any(_metric(candidate, metric) != _metric(against, metric) for metric in gated)
        if gated and not differs:
            checks.append(
                verdict("tie", None, None, "different from the champion", False, "`gate.ties` keeps the current model")
            )
    checks += more
    reasons = tuple(str(check) for check in checks if not check.passed)
    return Decision(passed=not reasons, checks=tuple(checks), reasons=reasons, champion=champion)


def _size_checks(gate: GateConfig, candidate: dict[str, Any]) -> Iterator[Check]:
    rows, positives = candidate.get("rows"), candidate.get("positives")
    latency = candidate.get("latency_ms", {}).get("p50")
    size = candidate.get("size_bytes")
    megabytes = None if size is None else size / 1e6
    yield _at_least("test rows", rows, gate.min_rows)
    if "rows_by_class" in candidate:
        yield _at_least(
            "test rows of the rarest class", min(candidate["rows_by_class"].values(), default=0), gate.min_positives
        )
    elif candidate.get("task") != "regression":
        rarer = None if rows is None or positives is None else min(positives, rows - positives)
        yield _at_least("test rows of the rarer class", rarer, gate.min_positives)
    yield _at_most("model size, MB", megabytes, gate.max_model_mb)
    yield _at_most("one row, ms (median)", latency, gate.max_latency_ms)


def _first_model(gate: GateConfig) -> Check:
    allowed = gate.first_model == "value_only"
    note = {
        "value_only": "no champion: judged by its bounds alone",
        "require_approval": "no champion: `gate.first_model` asks for an approval",
        "fail": "no champion: `gate.first_model` is `fail`",
    }[gate.first_model]
    return verdict("champion", None, None, "there to compare with, or not needed", allowed, note)


def _gain_checks(gate: GateConfig, metric: str, least: float, candidate: dict[str, Any]) -> Iterator[Check]:
    """The candidate beside every answer that needs no model. Without any, or without the metric, it does not pass."""
    value, naive = finite(_metric(candidate, metric)), candidate.get("naive", {})
    if value is None and gate.on_missing_metric == "ignore":
        return  # said by `value_checks`
    if not naive:
        yield verdict(metric, value, None, f"{least:g} better than a baseline", False, "there is no baseline")
    for name, metrics in naive.items():
        base = finite(metrics.get(metric))
        gain = None
        if value is not None and base is not None:
            gain = base - value if metric in LOWER_IS_BETTER else value - base
        note = "a metric is missing" if gain is None else f"the baseline `{name}` has {base:.6g}"
        passed = gain is not None and gain >= least
        yield verdict(f"{metric} beside `{name}`", value, None, f"at least {least:g} better", passed, note)


def _slice_checks(
    gate: GateConfig,
    evaluate: EvaluateConfig,
    candidate: dict[str, Any],
    baseline: dict[str, Any] | None,
    known: dict[tuple[str, str, str], Loss],
) -> Iterator[Check]:
    judged = judged_slices(candidate, evaluate)
    if not judged:
        yield verdict(
            "slices",
            0,
            None,
            f"at least one of {evaluate.min_slice_rows} rows",
            False,
            "no slice is large enough to judge",
        )
        return
    others = {(part["column"], part["value"]): part for part in (baseline or {}).get("slices", [])}
    parts = [
        Measured(
            name=f"{metric} on {part['column']}={part['value']}",
            metric=metric,
            bound=bound,
            value=_metric(part, metric),
            base=_metric(others.get((part["column"], part["value"])), metric),
            loss=known.get((metric, part["column"], part["value"])),
            note=f"{part['rows']:,} rows",
        )
        for metric, bound in gate.slices.items()
        for part in judged
    ]
    for part in parts:
        yield from value_checks(gate, part)
    if baseline is not None:
        yield from change_checks(gate, parts, sliced=True)


def judged_slices(metrics: dict[str, Any], evaluate: EvaluateConfig) -> list[dict[str, Any]]:
    """Those of metrics.json that have rows enough."""
    return [part for part in metrics.get("slices", []) if part["rows"] >= evaluate.min_slice_rows]


def _metric(metrics: dict[str, Any] | None, name: str) -> float | None:
    return None if metrics is None else metrics.get("metrics", {}).get(name)


def _at_least(name: str, value: float | None, least: float) -> Check:
    return verdict(name, value, None, f"at least {least:g}", value is not None and value >= least)


def _at_most(name: str, value: float | None, most: float) -> Check:
    return verdict(name, value, None, f"at most {most:g}", value is not None and value <= most)
