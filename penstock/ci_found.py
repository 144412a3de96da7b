"""What the stages of `penstock ci` found. The report is made of it, so it holds no row and no secret.

A check's note and an error's `found` may quote values of rows; neither is here.
"""

from __future__ import annotations

from typing import Literal

from penstock.comparison import Change, MetricChange
from penstock.gate_checks import Check
from penstock.paired import Loss
from penstock.refs import Value
from penstock.task_type import LOWER_IS_BETTER

EACH_SIDE = 0.975  # of a two-sided 95 % interval


class Step(Value):
    """A step, whether it ran, and why."""

    name: str
    ran: bool
    why: str


class OwnCheck(Value):
    """One of the checkout's own checks: its linters, types, tests."""

    name: str
    command: str
    passed: bool
    seconds: float


class ProjectCheck(Value):
    """A project's YAML and schema: ``problem`` is what is wrong, "" if nothing; ``steps``: what a run would do."""

    project: str
    problem: str = ""
    steps: tuple[Step, ...] = ()


class ChecksFound(Value):
    """The stage `check`."""

    own: tuple[OwnCheck, ...]
    projects: tuple[ProjectCheck, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.own) and not any(one.problem for one in self.projects)


class Moved(Value):
    """A column that is distributed otherwise, or a check of its quality that failed; ``reason`` in words."""

    kind: str
    column: str
    reason: str


class DataFound(Value):
    """The stage `data` of a project. ``version``: of the dataset; ``against``: whose training data are the measure of
    drift, "" where there are none; ``files``: those that differ from the base's, by path."""

    project: str
    version: str
    batches: int
    rows: int
    invalid: int
    splits: tuple[int, int, int]
    base_version: str = ""
    files: tuple[Change, ...] = ()
    schema_columns: tuple[Change, ...] = ()
    against: str = ""
    moved: tuple[Moved, ...] = ()
    drift: str = ""


class Beside(Value):
    """A metric of another model on the same rows: ``change`` is this one's minus the other's, with a 95 % interval."""

    value: float | None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Literal["better", "worse", ""] = ""  # "": the interval holds zero, or there is none


class MetricFound(Value):
    """A metric of the candidate with a 95 % interval, beside the base's and the champion's."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    base: Beside | None = None
    champion: Beside | None = None


class GateFound(Value):
    """A check of the gate, without its note."""

    name: str
    value: float | None
    beside: float | None
    lost: str
    bound: str
    passed: bool


class Plot(Value):
    title: str
    svg: str
    note: str


class TrainFound(Value):
    """The stage `train` of a project: a candidate of a sample, that becomes no release.

    ``base`` and ``champion`` name whom it was compared with, "" where there is none; ``why_no_base`` and
    ``why_no_champion`` say why.
    """

    project: str
    sample: float
    seed: int
    rows: tuple[int, int, int]
    base: str = ""
    why_no_base: str = ""
    champion: str = ""
    why_no_champion: str = ""
    config: tuple[Change, ...] = ()
    metrics: tuple[MetricFound, ...]
    gates: tuple[GateFound, ...]
    passed: bool
    slices: tuple[MetricChange, ...] = ()
    plots: tuple[Plot, ...] = ()
    steps: tuple[Step, ...] = ()


class Failed(Value):
    """A stage that could not be finished for a project: what happened, and what to do."""

    project: str
    what: str
    next_step: str = ""


def gate_found(check: Check) -> GateFound:
    return GateFound(
        name=check.name,
        value=check.value,
        beside=check.baseline,
        lost=check.lost,
        bound=check.bound,
        passed=check.passed,
    )


def beside(metric: str, value: float | None, loss: Loss | None) -> Beside:
    """``value``: the other model's; ``loss``: how much worse this one is."""
    limits = loss.interval(EACH_SIDE) if loss else None
    if loss is None or loss.loss is None or limits is None:
        return Beside(value=value)
    worse = limits[0] > 0
    sign = 1 if metric in LOWER_IS_BETTER else -1
    low, high = sorted(sign * limit for limit in limits)
    verdict: Literal["better", "worse", ""] = "worse" if worse else "better" if limits[1] < 0 else ""
    return Beside(value=value, change=sign * loss.loss, low=low, high=high, verdict=verdict)


def interval(metric: str, loss: Loss | None) -> tuple[float | None, float | None]:
    """The 95 % interval of a metric, of its loss beside zero."""
    limits = loss.interval(EACH_SIDE) if loss else None
    if limits is None:
        return None, None
    low, high = sorted(limit if metric in LOWER_IS_BETTER else -limit for limit in limits)
    return low, high
