"""Whether a candidate is no worse than the champion by more than a margin: over all rows, and in each of many slices.

Over all rows it has to be shown: the upper confidence limit of the loss must be within the margin (a one-sided test of
non-inferiority: Wellek 2010, Testing Statistical Hypotheses of Equivalence and Noninferiority, chapter 1). What
cannot be told does not pass. In slices, each with few rows of its own, nothing would ever pass so. There a candidate
fails where it is worse than the margin surely, or likely:

- surely: the lower confidence limit is above the margin, with Holm's correction for all slices and metrics asked.
- likely: the best estimate is. It is the slice's loss, drawn towards what the slices of its column have in common, the
  more so the less their spread is more than chance makes (empirical Bayes: Efron & Morris 1975, "Data analysis using
  Stein's estimator", JASA 70; the spread by DerSimonian & Laird 1986, "Meta-analysis in clinical trials").

So one wild slice among many of few rows fails nothing, and no slice passes for having too few rows to be sure of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from penstock.paired import Loss, holm


class Answer(NamedTuple):
    """Whether a loss is acceptable, and why not, or what is not known; ``note`` may be empty."""

    passed: bool
    note: str


def overall(loss: Loss, margin: float, confidence: float) -> Answer:
    """Pass only what is shown to be within ``margin`` with the probability ``confidence``."""
    interval = loss.interval(confidence)
    if interval is None:
        return Answer(False, "cannot tell: it is not defined in most samples of these rows")
    if interval[1] <= margin:
        return Answer(True, "")
    if interval[0] > margin:
        return Answer(False, "worse than that, surely")
    return Answer(False, f"cannot tell: {_wanting(loss, margin, confidence)}")


def in_slices(asked: Sequence[tuple[Loss, float]], confidence: float) -> list[Answer]:
    """An answer to each pair of loss and margin; all of them are one family for Holm's correction."""
    refuted = holm([loss.within(margin) for loss, margin in asked], 1 - confidence)
    likely = _estimates([loss for loss, _ in asked])
    return [
        _in_slice(loss, margin, confidence, surely, likely.get(_name(loss)), len(asked))
        for (loss, margin), surely in zip(asked, refuted, strict=True)
    ]


def shrunk(losses: Sequence[float], errors: Sequence[float]) -> list[float]:
    """The best estimate of each loss, given the others and the standard errors. One alone, or one without an error,
    stays what it is."""
    known = [(loss, error**-2) for loss, error in zip(losses, errors, strict=True) if error > 0]
    if len(known) < 2:
        return list(losses)
    total = sum(weight for _, weight in known)
    mean = sum(weight * loss for loss, weight in known) / total
    beyond = sum(weight * (loss - mean) ** 2 for loss, weight in known) - (len(known) - 1)
    spread = max(0.0, beyond / (total - sum(weight**2 for _, weight in known) / total))
    weights = [1 / (1 / weight + spread) for _, weight in known]
    centre = sum(weight * loss for (loss, _), weight in zip(known, weights, strict=True)) / sum(weights)
    return [
        (spread * loss + error**2 * centre) / (spread + error**2) if error > 0 else loss
        for loss, error in zip(losses, errors, strict=True)
    ]


def _in_slice(loss: Loss, margin: float, confidence: float, surely: bool, likely: float | None, family: int) -> Answer:
    interval = loss.interval(confidence)
    if interval is None or likely is None:
        return Answer(False, "cannot tell: it is not defined in most samples of these rows")
    if surely:
        return Answer(False, f"worse than that, surely, also as one of {family} checks")
    if likely > margin:
        return Answer(False, f"worse than that, likely: the best estimate is {likely:.3g}")
    if interval[1] > margin:
        return Answer(True, f"not known to be worse: {_wanting(loss, margin, confidence)}")
    return Answer(True, "")


def _estimates(losses: Sequence[Loss]) -> dict[tuple[str, str, str], float]:
    """The best estimate of each loss that is known, from the others of its metric and column."""
    groups: dict[tuple[str, str], dict[str, Loss]] = {}
    for loss in losses:
        if loss.interval(0.5) is not None:
            groups.setdefault((loss.metric, loss.column), {})[loss.value] = loss
    found = {}
    for group in groups.values():
        values = shrunk([one.loss or 0.0 for one in group.values()], [one.error or 0.0 for one in group.values()])
        found.update({_name(loss): value for loss, value in zip(group.values(), values, strict=True)})
    return found


def _name(loss: Loss) -> tuple[str, str, str]:
    return loss.metric, loss.column, loss.value


def _wanting(loss: Loss, margin: float, confidence: float) -> str:
    needed = loss.rows_needed(margin, confidence)
    if needed is None:
        return "on these rows it is beyond that, perhaps by chance"
    rows = "rows of it" if loss.column else "test rows"
    return f"needs about {_round(max(needed - loss.rows, 1)):,} more {rows}"


def _round(count: int) -> int:
    """To two digits, upwards."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
