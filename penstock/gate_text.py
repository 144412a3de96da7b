"""The section `gate` of a new project, with the reason of every bound beside it. Pure."""

from __future__ import annotations

import math

from penstock.baseline import HEADLINE, Baseline
from penstock.infer_target import Target

GUESS = {
    "binary": "always answering the share of True",
    "multiclass": "always answering the classes' shares",
    "regression": "always answering the mean",
}
NAMES = {"auc": "AUC", "macro_f1": "macro F1", "r2": "R2", "average_precision": "average precision",
         "log_loss": "log loss", "mae": "mean absolute error"}  # fmt: skip
LEAST_JUDGED = 30  # test rows; what is measured of fewer is chance
NO_SKILL = {"binary": 0.5, "multiclass": 0.0, "regression": 0.0}


def loss_margin(judged: float) -> float:
    """How much may be lost against the champion, for a comparison on ``judged`` rows to be able to show it.

    On the same rows, two models of one kind differed by about 0.2 / sqrt(rows) from chance alone (AUC of the examples:
    400 to 36,715 rows). A margin of two and a half of that is one that an equal model is shown to be within.
    """
    return max(0.02, math.ceil(100 * 2.5 * 0.2 / math.sqrt(max(judged, 1))) / 100)


def gate_lines(target: Target, base: Baseline | None, judged: float) -> list[str]:
    """``base``: a quick model of it, if one could be made; ``judged``: test rows that are expected."""
    lines = ["gate: # what a candidate must be to become a release; bounds are inclusive", "  metrics:"]
    lines += _without_skill(target, base, judged) if base is None or not base.learns else _bounds(target, base, judged)
    least = max(LEAST_JUDGED, min(1000, math.floor(judged * 0.8)))
    check = ". CHECK: too few to judge by; nothing passes before there are more rows" if judged < least else ""
    lines.append(f"  min_rows: {least} # test rows; about {judged:,.0f} are expected{check}")
    if target.task != "regression":
        lines.append(
            f"  min_positives: {max(1, min(50, math.floor(judged * target.rarest * 0.5)))} # test rows of the rarest "
            f"class; about {judged * target.rarest:,.0f} are expected"
        )
    return lines


def _bounds(target: Target, base: Baseline, judged: float) -> list[str]:
    margin = loss_margin(judged)
    name, value = NAMES[base.headline], base.of(base.headline)
    lines = [
        f"    # a quick model ({base.how}; {base.rows:,} rows) had {name} {value:.3f} (95 %: from {base.low:.3f});",
        f"    # `min` is halfway to that from guessing ({base.guessing(base.headline):.3f}): it stops a broken model, "
        "not a mediocre one. Raise it.",
        f"    {base.headline}: {{ min: {base.least(base.headline)}, max_loss: {margin:g} }} # surely no more than "
        f"{margin:g} below the champion on the same rows; with more rows it may be less",
    ]
    if target.task == "binary" and target.imbalanced:
        lines += [
            f"    # True or False is rare: guessing has {base.guessing('average_precision'):.3f}, the quick model had "
            f"{base.of('average_precision'):.3f}",
            f"    average_precision: {{ min: {base.least('average_precision')} }}",
        ]
    if base.saves:
        lines += [
            f"    # {GUESS[target.task]} has {base.guessing(base.cost):.4g}, the quick model had "
            f"{base.of(base.cost):.4g}",
            f"    {base.cost}: {{ max: {base.most_cost:g} }}",
        ]
    return lines


def _without_skill(target: Target, base: Baseline | None, judged: float) -> list[str]:
    headline = HEADLINE[target.task]
    why = "no baseline could be made"
    if base is not None:
        why = f"a quick model had {NAMES[headline]} {base.of(headline):.3f}: no better than guessing"
    return [
        f"    # CHECK: {why}. Raise `min` before you rely on a release.",
        f"    {headline}: {{ min: {NO_SKILL[target.task]:g}, max_loss: {loss_margin(judged):g} }}",
    ]
