"""Whether a candidate may become a release. `decide()` is a pure function of numbers and thresholds, and fails closed.

The rules are those of TFX's evaluator (value and change thresholds, per slice) without its traps: nothing configured,
a metric that is missing, rows too few, a slice that vanished, a champion that cannot be scored: none of them passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from penstock.config import Bound, EvaluateConfig, GateConfig
from penstock.refs import Value
from penstock.task_type import LOWER_IS_BETTER


class Check(Value):
    """One question the gate asked, and its answer. ``bound`` is the rule in words."""

    name: str  # "auc", "auc on origin=JFK", "rows", "model size"
    value: float | None
    baseline: float | None
    bound: str
    passed: bool
    note: str = ""

    def __str__(self) -> str:
        shown = "nothing" if self.value is None else f"{self.value:.6g}"
        beside = "" if self.baseline is None else f", champion {self.baseline:.6g}"
        return f"{self.name}: {shown}{beside}, must be {self.bound}" + (f" ({self.note})" if self.note else "")


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
    more: Sequence[Check] = (),
) -> Decision:
    """Judge ``candidate``'s metrics, beside those of ``champion`` on the same rows where there is one.

    ``candidate`` and ``baseline`` are what `tasks/evaluation.py` stores as metrics.json. ``same_model``: the candidate
    is the champion, byte for byte, so that neither change nor tie can be judged. ``more``: checks made elsewhere.
    Nothing is raised: what is missing is a failed check.
    """
    comparable = baseline is not None and not baseline.get("incomparable")
    checks = [*_size_checks(gate, candidate)]
    if not gate.metrics and not gate.slices:
        checks.append(_verdict("thresholds", None, None, "configured under `gate.metrics`", False))
    if baseline is None:
        checks.append(_first_model(gate))
    elif not comparable:
        checks.append(
            _verdict(
                "champion",
                None,
                None,
                "scored on the same rows",
                gate.incomparable == "value_only",
                str(baseline["incomparable"]),
            )
        )
    against = baseline if comparable else None
    for metric, bound in gate.metrics.items():
        checks += _bound_checks(
            metric, metric, bound, _metric(candidate, metric), _metric(against, metric), against is not None
        )
        if bound.min_gain is not None:
            checks += _gain_checks(metric, bound.min_gain, candidate)
    if gate.slices:
        checks += _slice_checks(gate, evaluate, candidate, against)
    if against is not None and not same_model and gate.ties == "keep_current":
        gated = [*gate.metrics]
        differs = any(_metric(candidate, metric) != _metric(against, metric) for metric in gated)
        if gated and not differs:
            checks.append(
                _verdict("tie", None, None, "different from the champion", False, "`gate.ties` keeps the current model")
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
    return _verdict("champion", None, None, "there to compare with, or not needed", allowed, note)


def _bound_checks(
    name: str, metric: str, bound: Bound, value: float | None, base: float | None, has_baseline: bool, note: str = ""
) -> Iterator[Check]:
    if value is None or not math.isfinite(value):
        yield _verdict(name, None, base, "a number", False, note or "the metric is missing")
        return
    if bound.min is not None:
        yield _verdict(name, value, base, f"at least {bound.min:g}", value >= bound.min, note)
    if bound.max is not None:
        yield _verdict(name, value, base, f"at most {bound.max:g}", value <= bound.max, note)
    if not has_baseline or (bound.max_loss is None and bound.max_relative_loss is None):
        return
    if base is None or not math.isfinite(base):
        yield _verdict(name, value, None, "compared with the champion's", False, "the champion's metric is missing")
        return
    loss = value - base if metric in LOWER_IS_BETTER else base - value
    if bound.max_loss is not None:
        yield _verdict(name, value, base, f"at most {bound.max_loss:g} worse", loss <= bound.max_loss, note)
    if bound.max_relative_loss is not None:
        # over |baseline|: a negative baseline must not turn a loss into a gain; over 0 only "not worse" can be judged
        passed = loss <= bound.max_relative_loss * abs(base)
        yield _verdict(name, value, base, f"at most {bound.max_relative_loss:.2%} worse", passed, note)


def _gain_checks(metric: str, least: float, candidate: dict[str, Any]) -> Iterator[Check]:
    """The candidate beside every answer that needs no model. Without any, or without the metric, it does not pass."""
    value, naive = _metric(candidate, metric), candidate.get("naive", {})
    if not naive:
        yield _verdict(metric, value, None, f"{least:g} better than a baseline", False, "there is no baseline")
    for name, metrics in naive.items():
        base = metrics.get(metric)
        known = value is not None and base is not None and math.isfinite(value) and math.isfinite(base)
        gain = 0.0
        if known:
            gain = base - value if metric in LOWER_IS_BETTER else value - base
        note = f"the baseline `{name}` has {base:.6g}" if known else "a metric is missing"
        yield _verdict(
            f"{metric} beside `{name}`", value, None, f"at least {least:g} better", known and gain >= least, note
        )


def _slice_checks(
    gate: GateConfig, evaluate: EvaluateConfig, candidate: dict[str, Any], baseline: dict[str, Any] | None
) -> Iterator[Check]:
    judged = [part for part in candidate.get("slices", []) if part["rows"] >= evaluate.min_slice_rows]
    if not judged:
        yield _verdict(
            "slices",
            0,
            None,
            f"at least one of {evaluate.min_slice_rows} rows",
            False,
            "no slice is large enough to judge",
        )
        return
    others = {(part["column"], part["value"]): part for part in (baseline or {}).get("slices", [])}
    for metric, bound in gate.slices.items():
        for part in judged:
            where = f"{metric} on {part['column']}={part['value']}"
            other = others.get((part["column"], part["value"]))
            yield from _bound_checks(
                where,
                metric,
                bound,
                _metric(part, metric),
                _metric(other, metric),
                baseline is not None,
                f"{part['rows']:,} rows",
            )


def _metric(metrics: dict[str, Any] | None, name: str) -> float | None:
    return None if metrics is None else metrics.get("metrics", {}).get(name)


def _at_least(name: str, value: float | None, least: float) -> Check:
    return _verdict(name, value, None, f"at least {least:g}", value is not None and value >= least)


def _at_most(name: str, value: float | None, most: float) -> Check:
    return _verdict(name, value, None, f"at most {most:g}", value is not None and value <= most)


def _verdict(name: str, value: float | None, baseline: float | None, bound: str, passed: bool, note: str = "") -> Check:
    return Check(name=name, value=value, baseline=baseline, bound=bound, passed=passed, note=note)
