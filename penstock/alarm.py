"""Whether what windows showed is an alarm. `alarm()` is a pure function of their verdicts.

One window may be a holiday. An alarm takes `monitor.alarm_windows` of the last `monitor.alarm_of` windows that could be
judged, and the latest one among them: what has gone by itself calls nobody. (The rule is that of Databricks' MLOps
Stacks, `metric_violation_check_query.py`.) Kinds of `monitor.at_once` need the latest alone: a missing field is no
matter of chance.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.monitor_config import Kind, MonitorConfig
from penstock.refs import Value
from penstock.window import KINDS, WindowDrift


class KindAlarm(Value):
    """One kind: in ``windows`` of the last ``of`` judged ones something was beyond its limit, ``needed`` are an alarm.

    ``judged``: the latest window could be judged in it. ``reasons``: what is beyond in the latest, in words.
    """

    kind: Kind
    raised: bool
    judged: bool
    windows: int
    of: int
    needed: int
    reasons: tuple[str, ...]

    @property
    def decided(self) -> bool:
        """Whether an alarm could have been raised: a single window of a new release says neither yes nor no."""
        return self.judged and self.of >= self.needed

    def __str__(self) -> str:
        if not self.judged:
            return f"{self.kind}: not judged"
        state = "ALARM" if self.raised else "beyond its limits" if self.reasons else "within its limits"
        counted = f"{self.windows} of the last {self.of} windows" if self.of > 1 else f"{self.windows} of 1 window"
        return f"{self.kind}: {state} ({counted}, {self.needed} needed)"


class Alarm(Value):
    """The decision after the latest window, kind by kind."""

    kinds: tuple[KindAlarm, ...]

    @property
    def raised(self) -> tuple[Kind, ...]:
        """The kinds that raise an alarm; empty if none does."""
        return tuple(one.kind for one in self.kinds if one.raised)

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(f"{one.kind}: {reason}" for one in self.kinds if one.raised for reason in one.reasons)

    def __str__(self) -> str:
        return f"alarm: {', '.join(self.raised)}" if self.raised else "no alarm"


def alarm(history: Sequence[WindowDrift], config: MonitorConfig) -> Alarm:
    """The alarm after the last window of ``history``, oldest first. Without a window there is none.

    Only windows compared with the same reference as the latest count: another release has another training data.
    """
    if not history:
        return Alarm(kinds=())
    same = [window for window in history if window.reference == history[-1].reference]
    return Alarm(kinds=tuple(_of_kind(kind, same, config) for kind in KINDS))


def _of_kind(kind: Kind, history: list[WindowDrift], config: MonitorConfig) -> KindAlarm:
    judged = [window for window in history if kind in window.judged][-config.alarm_of :]
    beyond = sum(kind in window.reasons for window in judged)
    needed = 1 if kind in config.at_once else config.alarm_windows
    latest = history[-1]
    reasons = latest.reasons.get(kind, ())
    return KindAlarm(
        kind=kind,
        raised=bool(reasons) and beyond >= needed,
        judged=kind in latest.judged,
        windows=beyond,
        of=len(judged),
        needed=needed,
        reasons=reasons,
    )
