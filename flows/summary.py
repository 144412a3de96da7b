"""The short summary that `run` and `train` end with."""

from __future__ import annotations

from typing import Any

from penstock import ledger
from penstock.candidate import Outcome
from penstock.task_type import TASK_TYPES
from tasks.platform import platform
from tasks.registry.registry import read_ledger
from tasks.reports.reporting import report_path
from tasks.serving.serving_status import call, standing
from tasks.store.store import read_json

MOST = 5  # metrics in a line


def as_dict(outcome: Outcome, changed: bool) -> dict[str, Any]:
    """The summary for scripts."""
    candidate, release = outcome.candidate, outcome.release
    events = read_ledger(release.project)
    return {
        "project": release.project,
        "verdict": release.verdict,
        "version": release.version,
        "changed": changed,
        "reasons": list(candidate.decision.reasons),
        "metrics": read_json(candidate.evaluation.metrics).get("metrics", {}),
        "champion": candidate.decision.champion,
        "dataset": candidate.dataset.version,
        "model": candidate.model.booster.sha256,
        "bento": candidate.package.tag if candidate.package else "",
        "report": str(report_path(release.project, release.version or f"rejected-{release.sequence}")),
        "prefect": platform.address(),
        "serves": standing(events),
        "waiting": ledger.waiting(events),
        "call": call(release.project),
    }


def as_text(outcome: Outcome, changed: bool) -> str:
    """The summary for people: the verdict, the metrics, and what to do next."""
    facts = as_dict(outcome, changed)
    candidate = outcome.candidate
    metrics = read_json(candidate.evaluation.metrics)
    task = TASK_TYPES[metrics.get("task", "binary")]
    name = facts["version"] or facts["project"]
    head = f"{name}: {facts['verdict'].upper()}"
    if not changed:
        head = (
            f"Nothing has changed since {name} ({facts['verdict']}): data, config, code and environment are the same."
        )
    passed = len(candidate.decision.checks) - len(facts["reasons"])
    lines = [
        (
            "metrics",
            "  ".join(
                f"{key} {value:.4f}" for key in task.shown[:MOST] if (value := facts["metrics"].get(key)) is not None
            ),
        ),
        ("test rows", _rows(metrics)),
        (
            "gates",
            f"{passed} of {len(candidate.decision.checks)} checks passed" + _against(candidate.decision.champion),
        ),
    ]
    if candidate.forced:
        lines.append(("forced", str(candidate.forced)))
    if candidate.check:
        lines.append(("server", str(candidate.check)))
    lines.append(("report", facts["report"]))
    if facts["prefect"]:
        lines.append(("Prefect", facts["prefect"]))
    if facts["version"]:
        lines.append(("serves", facts["serves"]))
        lines.append(("call it", facts["call"] or f"penstock serve {facts['project']}"))
        name = facts["project"]
        lines.append(
            ("next", f"penstock approve {name} {facts['waiting']} --reason ...; then penstock deploy {name}")
            if facts["waiting"]
            else ("next", f"penstock deploy {name} {facts['version']}")
            if candidate.forced and outcome.release.new
            else ("next", f"change configs/{name}.yaml; `penstock plan {name}` says what would run again")
        )
    return "\n".join(["", head, *(f"  {key + ':':<11}{value}" for key, value in lines)])


def _rows(metrics: dict[str, Any]) -> str:
    if "threshold" in metrics:
        return f"{metrics['rows']:,}, {metrics['positives']:,} positive; threshold {metrics['threshold']:.3f}"
    if "rows_by_class" in metrics:
        rarest = min(metrics["rows_by_class"].values())
        return f"{metrics['rows']:,} of {len(metrics['rows_by_class'])} classes, {rarest:,} of the rarest"
    return f"{metrics['rows']:,}, label {metrics['mean']:.4g} ± {metrics['deviation']:.4g}"


def _against(champion: str) -> str:
    return f", compared with {champion} on the same rows" if champion else ", no champion to compare with yet"
