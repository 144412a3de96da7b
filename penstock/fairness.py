"""How a model treats groups of rows, and what the gate makes of it. Pure.

selection rate: demographic parity (Dwork et al. 2012, "Fairness through awareness"), as a ratio the four-fifths rule
(US Uniform Guidelines 1978; Feldman et al. 2015, "Certifying and removing disparate impact"). True positive rate:
equal opportunity; with the false positive rate equalized odds (Hardt, Price & Srebro 2016, "Equality of opportunity in
supervised learning"). Where base rates differ they exclude one another (Chouldechova 2017, "Fair prediction with
disparate impact"): which one counts is the project's choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from penstock.fairness_config import FairnessRule, GroupMetric
from penstock.gate_checks import Check, verdict
from penstock.intervals import Measured, Z, wilson
from penstock.refs import Value

if TYPE_CHECKING:
    import numpy as np


class Group(Value):
    """``measured``: None where the metric is a share of no row, such as of positives where there are none."""

    name: str
    rows: int
    measured: Measured | None

    def __str__(self) -> str:
        return f"{self.name} {self.measured or 'nothing'}"


class Groups(Value):
    """The groups of one rule that are large enough, lowest value first, and how many are not."""

    judged: tuple[Group, ...]
    small: int


class Fairness(Value):
    """What each rule found, in the rules' order."""

    found: tuple[Groups, ...]

    def __str__(self) -> str:
        groups = sum(len(one.judged) for one in self.found)
        return f"{len(self.found)} {'rule' if len(self.found) == 1 else 'rules'}, {groups} groups"


def measured_groups(
    metric: GroupMetric, group: np.ndarray, label: np.ndarray, answer: np.ndarray, min_rows: int
) -> Groups:
    """``group``: the name of each row's group; ``label``, ``answer``: what is true and what the model says, (n,).

    Binary: Booleans; multiclass: names of classes; regression: numbers.
    """
    import numpy as np

    names, at, rows = np.unique(group, return_inverse=True, return_counts=True)
    judged = []
    for number in np.flatnonzero(rows >= min_rows):
        mine = at == number
        judged.append(
            Group(
                name=str(names[number]), rows=int(rows[number]), measured=_measured(metric, label[mine], answer[mine])
            )
        )
    judged.sort(key=lambda one: -math.inf if one.measured is None else one.measured.value)
    return Groups(judged=tuple(judged), small=int((rows < min_rows).sum()))


def fairness_checks(rules: Sequence[FairnessRule], found: Fairness | None, min_rows: int) -> Iterator[Check]:
    """A check for each bound of each rule. Fewer than two groups, or one without the metric, do not pass."""
    every = found.found if found is not None and len(found.found) == len(rules) else [None] * len(rules)
    for rule, groups in zip(rules, every, strict=True):
        yield from _checks(rule, groups, min_rows)


def _checks(rule: FairnessRule, groups: Groups | None, min_rows: int) -> Iterator[Check]:
    judged = groups.judged if groups else ()
    known = [one.measured.value for one in judged if one.measured is not None]
    if groups is None:
        note = "it was not measured"
    elif len(judged) < 2:
        note = f"fewer than two groups of at least {min_rows:,} test rows"
    elif len(known) < len(judged):
        note = f"the group {judged[0].name} has no row that {rule.metric} is a share of"
    else:
        note = f"{judged[0]} and {judged[-1]} (95 %), of {len(judged)} groups"
        note += f"; {groups.small} under {min_rows:,} rows not judged" if groups.small else ""
    whole = len(known) == len(judged) >= 2
    name = f"{rule.metric} between groups of {rule.column}"
    if rule.max_difference is not None:
        apart = known[-1] - known[0] if whole else None
        passed = apart is not None and apart <= rule.max_difference
        yield verdict(f"{name}, difference", apart, None, f"at most {rule.max_difference:g}", passed, note)
    if rule.min_ratio is not None:
        ratio = None if not whole else known[0] / known[-1] if known[-1] else 1.0
        passed = ratio is not None and ratio >= rule.min_ratio
        yield verdict(f"{name}, ratio", ratio, None, f"at least {rule.min_ratio:g}", passed, note)


def _measured(metric: GroupMetric, label: np.ndarray, answer: np.ndarray) -> Measured | None:
    import numpy as np

    if metric == "mean_error":
        error = answer.astype(np.float64) - label
        if len(error) < 2:
            return None
        mean, half = float(error.mean()), Z * float(error.std(ddof=1)) / math.sqrt(len(error))
        return Measured(value=mean, low=mean - half, high=mean + half, method="normal")
    hits = {
        "selection_rate": lambda: answer,
        "true_positive_rate": lambda: answer[label],
        "false_positive_rate": lambda: answer[~label],
        "accuracy": lambda: answer == label,
    }[metric]()
    return wilson(int(hits.sum()), len(hits))
