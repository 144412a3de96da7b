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
NO_SKILL = {"binary": 0.5, "multiclass": 0.0, "regression": 0.0}


def gate_lines(target: Target, base: Baseline | None, judged: float) -> list[str]:
    """``base``: a quick model of it, if one could be made; ``judged``: test rows that are expected."""
    lines = ["gate: # what a candidate must be to become a release; bounds are inclusive", "  metrics:"]
    lines += _without_skill(target, base) if base is None or not base.learns else _bounds(target, base)
    lines.append(
        f"  min_rows: {max(1, min(1000, math.floor(judged * 0.8)))} # test rows; about {judged:,.0f} are expected"
    )
    if target.task != "regression":
        lines.append(
            f"  min_positives: {max(1, min(50, math.floor(judged * target.rarest * 0.5)))} # test rows of the rarest "
            f"class; about {judged * target.rarest:,.0f} are expected"
        )
    return lines


def _bounds(target: Target, base: Baseline) -> list[str]:
    name, value = NAMES[base.headline], base.of(base.headline)
    lines = [
        f"    # a quick model ({base.how}; {base.rows:,} rows) had {name} {value:.3f} (95 %: from {base.low:.3f});",
        f"    # `min` is halfway to that from guessing ({base.guessing(base.headline):.3f}): it stops a broken model, "
        "not a mediocre one. Raise it.",
        f"    {base.headline}: {{ min: {base.least(base.headline)}, max_loss: 0.02 }} # at most 0.02 below the "
        "champion on the same rows",
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


def _without_skill(target: Target, base: Baseline | None) -> list[str]:
    headline = HEADLINE[target.task]
    why = "no baseline could be made"
    if base is not None:
        why = f"a quick model had {NAMES[headline]} {base.of(headline):.3f}: no better than guessing"
    return [
        f"    # CHECK: {why}. Raise `min` before you rely on a release.",
        f"    {headline}: {{ min: {NO_SKILL[target.task]:g}, max_loss: 0.02 }}",
    ]
