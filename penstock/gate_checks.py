"""The checks of one metric: its bounds of value, and of change beside the champion. Part of `penstock/gate.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from penstock import non_inferiority
from penstock.config import Bound, GateConfig
from penstock.paired import Loss
from penstock.refs import Value


class Check(Value):
    """One question the gate asked, and its answer. ``bound`` is the rule in words.

    ``loss``: by how much it is worse than the baseline (negative: better), and is with the probability ``confidence``
    at least ``low``, and so at most ``high``. None where no change was asked about.
    """

    name: str  # "auc", "auc on origin=JFK", "rows", "model size"
    value: float | None
    baseline: float | None
    bound: str
    passed: bool
    note: str = ""
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None

    def __str__(self) -> str:
        shown = "nothing" if self.value is None else f"{self.value:.6g}"
        beside = "" if self.baseline is None else f", champion {self.baseline:.6g}"
        lost = f", {self.lost}" if self.lost else ""
        return f"{self.name}: {shown}{beside}{lost}, must be {self.bound}" + (f" ({self.note})" if self.note else "")

    @property
    def lost(self) -> str:
        """The loss in words, or nothing."""
        if self.loss is None or self.high is None or self.confidence is None:
            return ""
        return f"loss {self.loss:.3g} (at most {self.high:.3g} with {100 * self.confidence:.4g} %)"


@dataclass(frozen=True)
class Measured:
    """A metric of both models over all rows or a slice; ``loss`` is None where it was not measured."""

    name: str
    metric: str
    bound: Bound
    value: float | None
    base: float | None
    loss: Loss | None
    note: str = ""


def value_checks(gate: GateConfig, measured: Measured) -> Iterator[Check]:
    value, bound = finite(measured.value), measured.bound
    if value is None:
        yield _missing(gate, measured, "a number", measured.note or "the metric is missing")
        return
    if bound.min is not None:
        yield verdict(measured.name, value, measured.base, f"at least {bound.min:g}", value >= bound.min, measured.note)
    if bound.max is not None:
        yield verdict(measured.name, value, measured.base, f"at most {bound.max:g}", value <= bound.max, measured.note)


def change_checks(gate: GateConfig, parts: Sequence[Measured], sliced: bool = False) -> Iterator[Check]:
    """The bounds of change of one metric over all rows, or of all metrics in all slices. What has no value itself is
    told by `value_checks`."""
    asked: list[tuple[Measured, str, float, Loss]] = []
    for part in parts:
        base, loss = finite(part.base), part.loss
        if not part.bound.compares or finite(part.value) is None:
            continue
        if base is None:
            yield _missing(gate, part, "compared with the champion's", "the champion's metric is missing")
        elif loss is None:
            note = "how sure the difference is was not measured"
            yield verdict(part.name, part.value, base, "compared with the champion's", False, note)
        elif loss.loss is None:
            yield _missing(gate, part, "compared with the champion's", "not defined in most samples of these rows")
        else:
            asked += [(part, text, margin, loss) for text, margin in _margins(part.bound, base)]
    if sliced:
        answers = non_inferiority.in_slices([(loss, margin) for *_, margin, loss in asked], gate.confidence)
    else:
        answers = [non_inferiority.overall(loss, margin, gate.confidence) for *_, margin, loss in asked]
    for (part, text, _, loss), answer in zip(asked, answers, strict=True):
        low, high = loss.interval(gate.confidence) or (None, None)
        yield Check(
            name=part.name,
            value=part.value,
            baseline=part.base,
            bound=text,
            passed=answer.passed,
            note="; ".join(filter(None, (part.note, answer.note))),
            loss=loss.loss,
            low=low,
            high=high,
            confidence=gate.confidence,
        )


def _margins(bound: Bound, base: float) -> Iterator[tuple[str, float]]:
    """Each bound of change in words, and the loss that it allows."""
    if bound.max_loss is not None:
        yield f"at most {bound.max_loss:g} worse", bound.max_loss
    if bound.max_relative_loss is not None:
        # over |baseline|: a negative baseline must not turn a loss into a gain; over 0 only "not worse" can be judged
        yield f"at most {bound.max_relative_loss:.2%} worse", bound.max_relative_loss * abs(base)


def margin_of(bound: Bound, check: Check) -> float | None:
    """The loss that ``check``, made of ``bound``, allows; None where it is not about a loss."""
    if check.baseline is None or check.loss is None:
        return None
    return next((margin for text, margin in _margins(bound, check.baseline) if text == check.bound), None)


def verdict(name: str, value: float | None, baseline: float | None, bound: str, passed: bool, note: str = "") -> Check:
    return Check(name=name, value=value, baseline=baseline, bound=bound, passed=passed, note=note)


def _missing(gate: GateConfig, measured: Measured, bound: str, note: str) -> Check:
    ignored = gate.on_missing_metric == "ignore"
    note += "; `gate.on_missing_metric` ignores it" if ignored else ""
    return verdict(measured.name, finite(measured.value), finite(measured.base), bound, ignored, note)


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
