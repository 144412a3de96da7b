"""The report of a training run: one HTML file that needs nothing beside itself, in the store and under `reports/`.

Reads what the candidate names in the store; writes `<home>/reports/<project>/` and Prefect's artifacts.
"""

from __future__ import annotations

import hashlib
import json
import re
from html import escape
from pathlib import Path
from typing import Any

from penstock.candidate import Candidate, Release
from penstock.config import Project
from penstock.errors import DataError
from penstock.gate_checks import Check
from penstock.refs import Evaluation, FileRef, Model
from penstock.task_type import LOSSES, LOWER_IS_BETTER, TASK_TYPES, TaskType
from penstock.tuning import Trial
from tasks.machine.settings import settings
from tasks.reports.pages import number, page
from tasks.reports.plots import Scored
from tasks.reports.task_plots import plots_of
from tasks.reports.tuning_view import chosen_rows, trial_rows, tuning_plot
from tasks.store import artifacts, shared, store
from tasks.store.caching import task

LATEST = "latest"


@task(cached=False)
def write_report(candidate: Candidate, release: Release, project: Project) -> FileRef:
    """Render the report, keep it in the store and where `penstock report` finds it, and tell Prefect of it."""
    html = render(candidate, release, project).encode()
    ref = store.put_bytes(html, "report.html")
    folder, name = _folder(project.name), release.version or f"rejected-{release.sequence}"
    with store.readable_errors(folder):
        store.write_atomic(folder / f"{name}.html", html)
        store.write_atomic(folder / f"{name}.json", ref.model_dump_json().encode())
        store.write_atomic(folder / f"{LATEST}.html", html)
    if settings().shared:
        shared.publish([ref])
        shared.write_note(f"reports/{project.name}/{name}.json", ref.model_dump_json().encode())
    key = project.name.replace("_", "-")  # Prefect takes no underscore in an artifact's key
    artifacts.markdown(f"{key}-report", _markdown(candidate, release))
    artifacts.table(f"{key}-gates", [check.model_dump() for check in _failed_first(candidate.decision.checks)])
    return ref


def report_path(project: str, version: str = "") -> Path:
    """The report of ``version``, or the latest one. Raises DataError, naming those there are, when it is not there."""
    return _known(project, version, ".html")


def report_ref(project: str, name: str) -> FileRef:
    """The report as a file of the store; ``name`` is a version or `rejected-<number>`. Raises DataError likewise."""
    return FileRef.model_validate_json(_known(project, name, ".json").read_bytes())


@task(reads=True)
def find_report(release: Release) -> FileRef | None:
    """The report of a release or a rejection, if it was written and is whole."""
    try:
        ref = report_ref(release.project, release.version or f"rejected-{release.sequence}")
    except (DataError, ValueError, OSError):
        return None
    return ref if store.intact(ref) else None


def render(candidate: Candidate, release: Release, project: Project) -> str:
    """The report's HTML: equal for equal inputs."""
    from markupsafe import Markup

    metrics = store.read_json(candidate.evaluation.metrics)
    baseline = store.read_json(candidate.baseline.metrics) if candidate.baseline else {}
    rows = _metric_rows(metrics, baseline)
    checks = _failed_first(candidate.decision.checks)
    in_slice = [check for check in checks if check.passed and " on " in check.name]
    code = json.dumps(candidate.lineage.code, sort_keys=True)
    sbom = candidate.package.sbom if candidate.package else None
    return page(
        "report.html.j2",
        candidate=candidate,
        release=release,
        project=project,
        environment=settings().environment,
        lineage=candidate.lineage,
        code_hash=hashlib.sha256(code.encode()).hexdigest()[:12],
        checks=[check for check in checks if check not in in_slice],
        slice_checks=in_slice,
        metrics=metrics,
        task=_task_type(metrics),
        shown=[row["name"] for row in rows if row["name"] in _task_type(metrics).shown],
        by_class=store.read_json(candidate.evaluation.curves).get("by_class", []),
        incomparable=baseline.get("incomparable", ""),
        has_champion="metrics" in baseline,
        rows=rows,
        plots=[(title, Markup(svg), note) for title, svg, note in plots(candidate)],  # noqa: S704
        tuning=_tuning(candidate, project),
        splits=store.read_json(candidate.splits.summary),
        served_packages=store.read_json(sbom)["components"] if sbom else [],
        validation=store.read_json(candidate.checked.report),
    )


def _folder(project: str) -> Path:
    return settings().home / "reports" / project


def _fetch(project: str, name: str) -> None:
    """The report that somebody else wrote, of those who share a store; nothing happens if nobody did."""
    note = shared.read_note(f"reports/{project}/{name}.json")
    if note is not None:
        html = store.read_bytes(FileRef.model_validate_json(note))
        with store.readable_errors(_folder(project)):
            store.write_atomic(_folder(project) / f"{name}.html", html)
            store.write_atomic(_folder(project) / f"{name}.json", note)


def _known(project: str, version: str, suffix: str) -> Path:
    if settings().shared and version and not (_folder(project) / f"{version}{suffix}").is_file():
        _fetch(project, version)
    found = {path.stem: path for path in _folder(project).glob(f"*{suffix}")}
    if (version or LATEST) in found:
        return found[version or LATEST]
    names = sorted(found.keys() - {LATEST}, key=_natural)
    raise DataError(
        f"There is no report of `{project}`" + (f" named `{version}`." if version else " yet."),
        found=f"{len(names)} other reports" if len(names) != 1 else "one other report",
        allowed=", ".join(names) or "a version, once there is one",
        next_step=f"penstock report {project} {names[-1]}" if names else f"penstock run {project}",
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which v10 comes after v9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _failed_first(checks: tuple[Check, ...]) -> list[Check]:
    return sorted(checks, key=lambda check: check.passed)


def _task_type(metrics: dict[str, Any]) -> TaskType:
    """Of the candidate; records from before there were several are binary."""
    return TASK_TYPES[metrics.get("task", "binary")]


def _metric_rows(metrics: dict[str, Any], baseline: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each metric: test, validation, champion, and the difference with whether it is for the better."""
    rows = []
    for name in _task_type(metrics).metrics:
        if name == "pinball" and "quantile" not in metrics:
            continue
        test, champion = metrics.get("metrics", {}).get(name), baseline.get("metrics", {}).get(name)
        change = None if test is None or champion is None else test - champion
        lower = name in LOWER_IS_BETTER
        better = None if change is None or not round(change, 4) else (change < 0) == lower
        rows.append({
            "name": name,
            "lower": lower,
            "test": test,
            "validation": metrics.get("validation", {}).get("metrics", {}).get(name),
            "champion": champion,
            "change": change,
            "verdict": "" if better is None else "better" if better else "worse",
        })  # fmt: skip
    return rows


def plots(candidate: Candidate) -> list[tuple[str, str, str]]:
    """(title, SVG, what it shows) of every plot; the champion's curves too where it could be scored."""
    return plots_beside(candidate.model, candidate.evaluation, candidate.baseline, "champion")


def plots_beside(
    model: Model, evaluation: Evaluation, baseline: Evaluation | None, name: str
) -> list[tuple[str, str, str]]:
    """The same of a model that was evaluated, beside the ``baseline`` called ``name``."""
    metrics = store.read_json(evaluation.metrics)
    models = [Scored("candidate", "first", metrics, store.read_json(evaluation.curves))]
    beside = store.read_json(baseline.metrics) if baseline else {}
    if baseline and "metrics" in beside:
        models.insert(0, Scored(name, "second", beside, store.read_json(baseline.curves)))
    return plots_of(metrics.get("task", "binary"), models, store.read_json(model.history))


def _tuning(candidate: Candidate, project: Project) -> dict[str, Any]:
    """What the section on the search for parameters shows; empty where there was none."""
    from markupsafe import Markup

    tuned = candidate.tuned
    if tuned is None:
        return {}
    trials = [Trial.model_validate(each) for each in store.read_json(tuned.trials)]
    title, svg, note = tuning_plot(tuned, trials)
    return {
        "record": tuned,
        "metric": LOSSES.get(tuned.metric, tuned.metric),
        "plot": (title, Markup(svg), note),  # noqa: S704
        "chosen": chosen_rows(tuned, project),
        "trials": trial_rows(tuned, trials),
    }


def _markdown(candidate: Candidate, release: Release) -> str:
    metrics = store.read_json(candidate.evaluation.metrics)
    baseline = store.read_json(candidate.baseline.metrics) if candidate.baseline else {}
    lines = [f"# {release.project}: {release.verdict.upper()} {release.version}".rstrip(), ""]
    if candidate.forced:
        lines += [f"Blessed by force {escape(str(candidate.forced))}", ""]
    lines += [f"- {escape(' '.join(reason.split()))}" for reason in candidate.decision.reasons]
    lines += ["", "| metric | test | validation | champion |", "| --- | ---: | ---: | ---: |"]
    for row in _metric_rows(metrics, baseline):
        lines.append(
            f"| {row['name']} | " + " | ".join(number(row[key]) for key in ("test", "validation", "champion")) + " |"
        )
    return "\n".join(lines)
