"""Whether a candidate may become a release. `decide()` is a pure function of numbers and thresholds, and fails closed."""

from __future__ import annotations

from penstock.refs import Value


class Check(Value):
    """One question the gate asked, and its answer. ``bound`` is the rule in words, ``note`` what a reader should know."""

    name: str  # "auc", "auc on origin=JFK", "rows", "model size"
    value: float | None
    baseline: float | None
    bound: str
    passed: bool
    note: str = ""


class Decision(Value):
    """The verdict with every check behind it; `reasons` are the failed ones in words."""

    passed: bool
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]
    champion: str  # the version compared with, or ""

    def __str__(self) -> str:
        failed = sum(not check.passed for check in self.checks)
        return f"passed, {len(self.checks)} checks" if self.passed else f"rejected, {failed} of {len(self.checks)} checks failed"
