"""What the gate makes of served rows beside a candidate's training rows: both must mean the same fields.

Fields that are missing or unknown, and values of another type, are somebody's mistake, and no training mends it. Values
that are distributed otherwise are drift: a note here, and what retraining is for. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.gate_checks import Check
from penstock.refs import Value

SKEW = "served rows have the training rows' fields"


class Skew(Value):
    """The newest window that the champion ``release`` answered, beside the training rows. ``reason``: why not."""

    release: str
    window: int
    rows: int
    faults: tuple[str, ...]
    moved: tuple[str, ...]
    reason: str = ""

    def __str__(self) -> str:
        if self.reason or not self.faults:
            return self.reason or f"window {self.window}: the same fields and types"
        return f"window {self.window}: " + "; ".join(self.faults)


def skew_checks(skew: Skew | None) -> Iterator[Check]:
    """One check; none where nothing has been served yet."""
    if skew is None:
        return
    note = f"{skew}, {skew.rows:,} rows answered by {skew.release}"
    if skew.moved:
        note += f"; values have drifted: {', '.join(skew.moved)}"
    if skew.faults:
        note += "; mend the clients or the training data, or set `gate.serving_skew: ignore`"
    yield Check(name=SKEW, value=len(skew.faults), baseline=None, bound="0 faults", passed=not skew.faults, note=note)
