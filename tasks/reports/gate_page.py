"""The page of a candidate's gates: what `penstock explain-gate` says, with every loss drawn. Reads the record only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.candidate import Candidate
from penstock.config import Bound
from penstock.errors import StorageError
from penstock.gate_checks import Check, margin_of
from penstock.ledger import Event, moment
from tasks.machine.settings import settings
from tasks.registry.comparing import candidate_name, candidate_of, judged_event
from tasks.reports.interval_plots import Interval, interval, scale, span
from tasks.reports.pages import page
from tasks.store import store

OPEN = 16  # losses of a metric that are not folded away; those that failed never are


def write_gate_page(project: str, name: str, target: Path | None = None) -> Path:
    """Write the page of a candidate: to ``target``, or where pages are kept. Where it is.

    Raises DataError if there is no such candidate, StorageError if its record is damaged or the page cannot be written.
    """
    event = judged_event(project, name)
    html = render_gate(project, event, candidate_of(event))
    return written(html, target or settings().home / "reports" / project / "gates" / f"{candidate_name(event)}.html")


def written(html: str, target: Path) -> Path:
    """``target``, with the page in it."""
    try:
        store.write_atomic(target, html.encode())
    except OSError as error:
        raise StorageError(
            f"The page could not be written: {error.strerror or error}.",
            where=str(target),
            next_step="name a file in a folder that can be written: --html FILE",
        ) from None
    return target


def render_gate(project: str, event: Event, candidate: Candidate) -> str:
    """The page's HTML: equal for equal inputs."""
    decision = candidate.decision
    checks = sorted(decision.checks, key=lambda check: check.passed)
    return page(
        "gate.html.j2",
        project=project,
        environment=event.environment,
        name=candidate_name(event),
        made=moment(event.time),
        decision=decision,
        forced=candidate.forced,
        champion=candidate.champion,
        failed=[check for check in checks if not check.passed],
        undecided=[check for check in checks if "needs about" in check.note],
        forests=forests(decision.checks, store.read_json(candidate.lineage.config).get("gate", {})),
        confidence=next((check.confidence for check in checks if check.confidence), 0.0),
        checks=[check for check in checks if not drawn(check)],
    )


def drawn(check: Check) -> bool:
    """Whether it is about a loss whose interval is known."""
    return _interval(check, {}) is not None


def forests(checks: Sequence[Check], gate: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of every metric with losses, failed ones first: each check with its drawing, the axis that they share,
    and how many are not folded away.

    ``gate``: that section of the recorded config, which has the margins.
    """
    from markupsafe import Markup

    groups: dict[str, list[tuple[Check, Interval]]] = {}
    for check in sorted(checks, key=lambda check: check.passed):
        row = _interval(check, gate)
        if row is not None:
            groups.setdefault(_metric(check), []).append((check, row))
    found = []
    for metric, pairs in groups.items():
        axis = span([row for _, row in pairs])
        rows = [{"check": check, "svg": Markup(interval(row, axis))} for check, row in pairs]  # noqa: S704
        opened = max(OPEN, sum(not check.passed for check, _ in pairs))
        found.append({"metric": metric, "rows": rows, "axis": Markup(scale(axis)), "open": opened})  # noqa: S704
    return found


def _interval(check: Check, gate: Mapping[str, Any]) -> Interval | None:
    if check.loss is None or check.low is None or check.high is None or check.confidence is None:
        return None
    return Interval(
        name=f"{check.name}, {check.bound}",
        loss=check.loss,
        low=check.low,
        high=check.high,
        margin=_margin(check, gate),
        confidence=check.confidence,
        passed=check.passed,
    )


def _metric(check: Check) -> str:
    return check.name.partition(" on ")[0]


def _margin(check: Check, gate: Mapping[str, Any]) -> float | None:
    bound = gate.get("slices" if " on " in check.name else "metrics", {}).get(_metric(check))
    return margin_of(Bound.model_validate(bound), check) if bound else None
