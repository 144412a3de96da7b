"""Reads what the ledger and the store know of two candidates, and puts them side by side."""

from __future__ import annotations

import re
from typing import Any

import yaml

from penstock import forcing, ledger
from penstock.candidate import Candidate
from penstock.comparison import (
    Change,
    Comparison,
    MetricChange,
    Side,
    changes,
    files_changed,
    metric_changes,
    shown,
)
from penstock.errors import DataError
from penstock.ledger import Event
from penstock.live_metrics import measure
from penstock.refs import Value
from penstock.task_type import METRICS
from tasks.machine import clock
from tasks.registry.registry import VERDICTS, read_ledger, recorded_candidate, release_of
from tasks.store import store

SLICES = 12  # that are shown
MOVED = 0.01  # of all gain
REJECTED = re.compile(r"rejected-(\d+)")


def judged_event(project: str, name: str = "") -> Event:
    """The event that made ``name``: a version, or `rejected-<number>`; left out, the last candidate that was judged.

    Raises DataError, naming those there are.
    """
    events = [event for event in read_ledger(project) if event.kind in ledger.JUDGED]
    if not name and events:
        return events[-1]
    made = ledger.find(events, name) if name else None
    number = REJECTED.fullmatch(name)
    if made is None and number:
        made = next((one for one in events if one.kind == "rejected" and one.sequence == int(number[1])), None)
    if made is None:
        raise DataError(
            f"There is no candidate `{name}` of `{project}`." if name else f"`{project}` has no candidate yet.",
            allowed=", ".join(candidate_name(event) for event in events[-12:]),
            next_step=f"penstock history {project}" if events else f"penstock run {project}",
        )
    return made


def candidate_name(event: Event) -> str:
    return event.version or f"rejected-{event.sequence}"


def candidate_of(event: Event) -> Candidate:
    """Raises StorageError if the record is damaged."""
    return recorded_candidate.fn(release_of(event))


def forced_standing(event: Event) -> str:
    """How the forced blessing of this release, or of the candidate that was rejected here, stands now; or ""."""
    events = read_ledger(event.project)
    made = ledger.with_identity(events, event.identity)
    found = forcing.forced(events).get(made.version) if made else None
    return forcing.standing(made.version, found, clock.now().date()) if made and found else ""


def compare(project: str, before: str, after: str) -> Comparison:
    """Two candidates of a project. Raises DataError if one is not there, StorageError if its files are damaged."""
    events = [judged_event(project, name) for name in (before, after)]
    left, right = (candidate_of(event) for event in events)
    metrics = [store.read_json(one.evaluation.metrics) for one in (left, right)]
    lineages = left.lineage, right.lineage
    return Comparison(
        before=_side(events[0], left),
        after=_side(events[1], right),
        same_test_rows=left.splits.test.sha256 == right.splits.test.sha256,
        config=changes(*(store.read_json(one.config) for one in lineages)),
        schema_columns=changes(*(schema_columns(store.read_bytes(one.schema_text)) for one in lineages)),
        code=files_changed(lineages[0].code, lineages[1].code),
        libraries=changes(*({**one.libraries, "python": one.python, "engine": one.trained_by} for one in lineages)),
        metrics=metric_changes(
            _ordered(metrics[0]),
            _ordered(metrics[1]),
            intervals=(_intervals(left, metrics[0]), _intervals(right, metrics[1])),
        ),
        gated=_gated(right, candidate_name(events[0])),
        slices=slice_changes(*metrics),
        importance=_importance(*metrics),
    )


def _gated(candidate: Candidate, champion: str) -> tuple[str, ...]:
    if candidate.champion is None or candidate.champion.version != champion:
        return ()
    return tuple(str(check) for check in candidate.decision.checks if check.loss is not None)


def _side(event: Event, candidate: Candidate) -> Side:
    return Side(
        name=candidate_name(event),
        verdict=VERDICTS[event.kind]
        + (f" by {candidate.forced.by} until {candidate.forced.until}" if candidate.forced else ""),
        made=event.time,
        dataset=candidate.dataset.version.removesuffix(".dir"),
        rows=candidate.splits.rows,
        commit=candidate.lineage.git_commit + ("+" if candidate.lineage.git_dirty else ""),
        model=candidate.model.booster.sha256,
        environment=event.environment,
    )


def schema_columns(schema: bytes | str) -> dict[str, Any]:
    """The columns of a schema file, by name."""
    columns: dict[str, Any] = (yaml.safe_load(schema) or {}).get("columns", {})
    return columns


def _intervals(candidate: Candidate, metrics: dict[str, Any]) -> dict[str, str]:
    import polars as pl

    if "threshold" not in metrics:
        return {}
    rows = pl.read_parquet(store.read_bytes(candidate.evaluation.predictions))
    label, score = rows["label"].to_numpy(), rows["score"].to_numpy()
    found = measure(label, score, score >= metrics["threshold"])
    return {name: f"[{one.low:.4f}, {one.high:.4f}]" for name, one in found.items()}


class SliceChange(Value):
    """A slice of either side. ``before`` and ``after``: ``change.name``'s metric there; rows are of the test rows."""

    column: str
    value: str
    rows: tuple[int | None, int | None]
    metric: str
    change: MetricChange

    @property
    def moved(self) -> float:
        return abs((self.change.after or 0) - (self.change.before or 0)) if None not in self.both else 0.0

    @property
    def both(self) -> tuple[float | None, float | None]:
        return self.change.before, self.change.after


def compared_slices(before: dict[str, Any], after: dict[str, Any]) -> list[SliceChange]:
    """Every slice that either has, by the first metric that both have; those that changed most first."""
    sides = [{(part["column"], part["value"]): part for part in one.get("slices", [])} for one in (before, after)]
    found = []
    for column, value in sorted(sides[0].keys() | sides[1].keys()):
        parts = [side.get((column, value)) for side in sides]
        left, right = (_ordered(part) if part else {} for part in parts)
        name = next((name for name in left if name in right), next(iter({**left, **right}), None))
        if name is not None:
            [change] = metric_changes({name: left.get(name)}, {name: right.get(name)}, prefix=f"{column}={value} ")
            rows = (parts[0]["rows"] if parts[0] else None, parts[1]["rows"] if parts[1] else None)
            found.append(SliceChange(column=column, value=value, rows=rows, metric=name, change=change))
    return sorted(found, key=lambda one: -one.moved)


def slice_changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[MetricChange, ...]:
    """The slices of both that differ most."""
    changed = [one.change for one in compared_slices(before, after) if None not in one.both]
    return tuple(change for change in changed[:SLICES] if change.verdict)


def _ordered(document: dict[str, Any]) -> dict[str, float]:
    """The metrics that are defined, in the order in which they are always shown."""
    metrics = document.get("metrics", {})
    return {name: metrics[name] for name in METRICS if metrics.get(name) is not None}


def _importance(before: dict[str, Any], after: dict[str, Any]) -> tuple[Change, ...]:
    """Features that came or went, or whose share of the gain moved by at least `MOVED`; the largest moves first."""
    left, right = (
        {item["feature"]: float(item["gain"]) for item in one.get("importance", [])} for one in (before, after)
    )
    moves = {
        name: abs(right.get(name, 0) - left.get(name, 0))
        for name in left.keys() | right.keys()
        if (name in left) != (name in right) or abs(right[name] - left[name]) >= MOVED
    }
    return tuple(
        Change(key=name, before=shown(left.get(name)), after=shown(right.get(name)))
        for name in sorted(moves, key=lambda name: (-moves[name], name))
    )
