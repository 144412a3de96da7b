"""The report of a change: JSON, Markdown and HTML in `.penstock/ci/`, of what the stages found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from penstock.ci_report import CiReport, markdown
from penstock.errors import DataError
from tasks.ci import ci_run, ci_store
from tasks.machine.redaction import redacted
from tasks.reports.pages import page
from tasks.store.store import readable_errors, write_atomic

STAGES = ("check", "data", "train")

V = TypeVar("V", ci_store.Checked, ci_store.OfData, ci_store.OfTrain)


def report_of(commit: str) -> CiReport:
    """What the stages found of ``commit``; what they found of another one is missing.

    Raises DataError if none has run, StorageError if what one found cannot be read.
    """
    check = _of(commit, ci_store.found("check", ci_store.Checked))
    data = _of(commit, ci_store.found("data", ci_store.OfData))
    train = _of(commit, ci_store.found("train", ci_store.OfTrain))
    missing = [name for name, one in zip(STAGES, (check, data, train), strict=True) if one is None]
    if len(missing) == len(STAGES):
        raise DataError(
            "No stage has found anything of this commit.",
            where=str(ci_store.folder()),
            found=commit[:12] or "no commit",
            next_step="penstock ci check; penstock ci data; penstock ci train",
        )
    failed = {(one.project, one.what): one for part in (data, train) if part for one in part.failed}
    return CiReport(
        commit=commit,
        base=train.base if train else "",
        url=ci_run.running().url,
        checks=check.found if check else None,
        data=data.found if data else (),
        train=train.found if train else (),
        failed=tuple(failed.values()),
        missing=tuple(missing),
    )


def _of(commit: str, found: V | None) -> V | None:
    return found if found is not None and found.commit == commit else None


def write(report: CiReport) -> tuple[str, list[Path]]:
    """The Markdown, and the three files. No value of an environment variable named like a secret is in any."""
    said = redacted(markdown(report))
    parts = {
        "report.md": said,
        "report.html": redacted(render(report)),
        "report.json": redacted(report.model_dump_json(indent=1)),
    }
    for name, text in parts.items():
        path = ci_store.folder() / name
        with readable_errors(path):
            write_atomic(path, text.encode())
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with readable_errors(Path(summary)), Path(summary).open("a", encoding="utf-8") as shown:
            shown.write(said)
    return said, [ci_store.folder() / name for name in parts]


def render(report: CiReport) -> str:
    """The report's HTML: equal for equal inputs, and in need of nothing beside itself."""
    from markupsafe import Markup

    return page(
        "ci.html.j2",
        report=report,
        svg=Markup,  # of plots that `tasks.reports.plots` has escaped
    )
