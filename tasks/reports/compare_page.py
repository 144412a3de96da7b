"""The page of two candidates side by side: what `penstock compare` says, and all that it cuts short. Reads the record
only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.candidate import Candidate
from penstock.comparison import Change, Comparison, changes, facts
from penstock.task_type import LOWER_IS_BETTER
from tasks.machine.settings import settings
from tasks.registry.comparing import candidate_of, compared_slices, judged_event
from tasks.reports.gate_page import drawn, forests, written
from tasks.reports.pages import page
from tasks.store import store

SHOWN = 20  # features and slices that are not folded away


def write_comparison_page(project: str, found: Comparison, target: Path | None = None) -> Path:
    """Write the page of a comparison: to ``target``, or where pages are kept. Where it is.

    Raises StorageError if a file of the candidates is damaged or the page cannot be written.
    """
    before, after = (candidate_of(judged_event(project, side.name)) for side in (found.before, found.after))
    html = render_comparison(project, found, before, after)
    name = f"{found.before.name}-{found.after.name}.html"
    return written(html, target or settings().home / "reports" / project / "compare" / name)


def render_comparison(project: str, found: Comparison, before: Candidate, after: Candidate) -> str:
    """The page's HTML: equal for equal inputs."""
    metrics = [store.read_json(one.evaluation.metrics) for one in (before, after)]
    asked = [check for check in after.decision.checks if drawn(check)] if found.gated else []
    data = _data(before, after)
    return page(
        "compare.html.j2",
        project=project,
        found=found,
        before=before,
        after=after,
        facts=facts(found.before, found.after),
        data=data,
        files=changes(*({file.path: file.md5[:12] for file in one.dataset.files} for one in (before, after))),
        config=[_listed(change) for change in found.config],
        schema=[_listed(change) for change in found.schema_columns],
        metrics=[_difference(one.model_dump()) for one in found.metrics],
        forests=forests(asked, store.read_json(after.lineage.config).get("gate", {})),
        confidence=next((check.confidence for check in asked), 0.0),
        slices=compared_slices(*metrics),
        features=_features(*metrics),
        shown=SHOWN,
    )


def _difference(row: dict[str, Any]) -> dict[str, Any]:
    both = row["before"] is not None and row["after"] is not None
    return {
        **row,
        "change": row["after"] - row["before"] if both else None,
        "lower": row["name"] in LOWER_IS_BETTER,
    }


def _data(before: Candidate, after: Candidate) -> list[tuple[str, str, str]]:
    """(what, of the one, of the other) of the data and of each split."""
    sides = []
    for one in (before, after):
        summary = store.read_json(one.splits.summary)
        side = {
            "dataset version": one.dataset.version.removesuffix(".dir"),
            "files": f"{len(one.dataset.files):,}",
            "rows checked": f"{one.checked.rows:,}",
            "rows invalid, left out": f"{one.checked.invalid:,}",
            "rows left out by the gap": f"{summary.get('left_out_by_gap') or 0:,}",
        }
        for part in summary.get("splits", []):
            side |= {f"{part['name']}: {key}": text for key, text in _split(part)}
        sides.append(side)
    left, right = sides
    return [(key, left.get(key, "–"), right.get(key, "–")) for key in dict.fromkeys([*left, *right])]


def _split(part: dict[str, Any]) -> Sequence[tuple[str, str]]:
    """What is known of the rows of a split; the label's share, classes or mean, as the task type is."""
    found = [("rows", f"{part['rows']:,}")]
    if part.get("from"):
        found.append(("time", f"{part['from']} to {part['to']}"))
    if part.get("positive_rate") is not None:
        found.append(("positive", f"{part['positive_rate']:.2%}"))
    if part.get("rows_by_class"):
        found.append(("classes", ", ".join(f"{name} {count:,}" for name, count in part["rows_by_class"].items())))
    if part.get("mean") is not None:
        found.append(("mean of the label", f"{part['mean']:.6g}"))
    return found


def _listed(change: Change) -> dict[str, Any]:
    """A change; of two lists also what has gone, and what has come."""
    row: dict[str, Any] = {**change.model_dump(), "gone": [], "came": []}
    try:
        left, right = json.loads(change.before), json.loads(change.after)
    except ValueError:
        return row
    if isinstance(left, list) and isinstance(right, list):
        row["gone"] = [json.dumps(item, ensure_ascii=False) for item in left if item not in right]
        row["came"] = [json.dumps(item, ensure_ascii=False) for item in right if item not in left]
    return row


def _features(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """Every feature of either with its share of the gain, the largest first."""
    left, right = (
        {item["feature"]: float(item["gain"]) for item in one.get("importance", [])} for one in (before, after)
    )
    rows = [{"name": name, "before": left.get(name), "after": right.get(name)} for name in {**left, **right}]
    return sorted(rows, key=lambda row: (-max(row["before"] or 0, row["after"] or 0), row["name"]))
