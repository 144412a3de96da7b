"""Two candidates side by side: what went in, and what came out. Pure; what is equal is left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from penstock.ledger import moment
from penstock.refs import Value
from penstock.task_type import LOWER_IS_BETTER

NOTHING = "-"


class Side(Value):
    """One of the two. ``name``: a version, or `rejected-<number>`."""

    name: str
    verdict: str
    made: str
    dataset: str
    rows: tuple[int, int, int]  # of training, validation and test
    commit: str
    model: str  # SHA-256
    environment: str = ""  # where it was made; "" is development


class Change(Value):
    """What differs: ``key`` says where, ``before`` and ``after`` are texts, "-" where there is none."""

    key: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}"


class MetricChange(Value):
    """A metric of both on their test rows, 95 % intervals as text; ``verdict``: better, worse or "" (equal)."""

    name: str
    before: float | None
    after: float | None
    before_interval: str = ""
    after_interval: str = ""
    verdict: str

    def __str__(self) -> str:
        sides = [
            f"{shown(value)}{' ' + interval if interval else ''}"
            for value, interval in ((self.before, self.before_interval), (self.after, self.after_interval))
        ]
        return f"{self.name}: {' -> '.join(sides)}" + (f" ({self.verdict})" if self.verdict else "")


class Comparison(Value):
    """Everything in which ``before`` and ``after`` differ, and how well each does.

    ``gated``: what the gates of ``after`` said of how much worse it is, if ``before`` was the champion then.
    """

    before: Side
    after: Side
    same_test_rows: bool
    config: tuple[Change, ...]
    schema_columns: tuple[Change, ...]
    code: tuple[Change, ...]
    libraries: tuple[Change, ...]
    metrics: tuple[MetricChange, ...]
    gated: tuple[str, ...] = ()
    slices: tuple[MetricChange, ...]
    importance: tuple[Change, ...]


def facts(before: Side, after: Side) -> tuple[tuple[str, str, str], ...]:
    """(what, of the one, of the other), in words."""
    left_place, right_place = (side.environment or "development" for side in (before, after))
    elsewhere = (("environment", left_place, right_place),) if before.environment or after.environment else ()
    rows = zip(("train", "validation", "test"), before.rows, after.rows, strict=True)
    return (
        ("verdict", before.verdict, after.verdict),
        ("made", moment(before.made), moment(after.made)),
        *elsewhere,
        ("data", before.dataset[:12], after.dataset[:12]),
        *((f"{name} rows", f"{left:,}", f"{right:,}") for name, left, right in rows),
        ("commit", before.commit[:12] or "none", after.commit[:12] or "none"),
        ("model", before.model[:12], after.model[:12]),
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every leaf in which two trees of JSON differ, by its dotted path. Lists are leaves."""
    left, right = _leaves(before), _leaves(after)
    return tuple(
        Change(key=key, before=left.get(key, NOTHING), after=right.get(key, NOTHING))
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    )


def files_changed(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    """Files whose hash differs, by path; hashes are shortened."""
    cut = [{path: digest[:12] for path, digest in side.items()} for side in (before, after)]
    return changes(*cut)


def metric_changes(
    before: Mapping[str, float | None],
    after: Mapping[str, float | None],
    intervals: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
    prefix: str = "",
) -> tuple[MetricChange, ...]:
    """Every metric that either has. A difference that four digits do not show is none."""
    found = []
    for name in dict.fromkeys([*before, *after]):
        left, right = before.get(name), after.get(name)
        change = 0.0 if left is None or right is None else round(right - left, 4)
        verdict = "" if not change else "better" if (change < 0) == (name in LOWER_IS_BETTER) else "worse"
        found.append(
            MetricChange(
                name=prefix + name,
                before=left,
                after=right,
                before_interval=intervals[0].get(name, ""),
                after_interval=intervals[1].get(name, ""),
                verdict=verdict,
            )
        )
    return tuple(found)


def shown(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"


def _leaves(tree: Any, path: str = "") -> dict[str, str]:
    if isinstance(tree, Mapping) and tree:
        return {
            key: text for name, part in tree.items() for key, text in _leaves(part, f"{path}.{name}".strip(".")).items()
        }
    if isinstance(tree, str) and "\n" in tree:  # the source of a function: its name is enough
        return {path: f"{len(tree.splitlines())} lines, {hashlib.sha256(tree.encode()).hexdigest()[:12]}"}
    return {path: tree if isinstance(tree, str) else json.dumps(tree, ensure_ascii=False)}
