"""The report of a window: one HTML file that needs nothing beside itself, in the store and under `reports/`.

Reads only its arguments; writes `<home>/reports/<project>/drift/` and Prefect's artifact.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from penstock.alarm import Alarm
from penstock.drift import ColumnDrift
from penstock.errors import DataError
from penstock.live_metrics import WindowScore
from penstock.merged import Merged
from penstock.refs import FileRef, Value
from penstock.window import Reference, Window, WindowDrift
from tasks.machine.settings import settings
from tasks.reports.drift_plots import WINDOWS, distribution, history
from tasks.reports.drift_timeline import quality, verdicts
from tasks.reports.pages import page, time
from tasks.store import artifacts, store
from tasks.store.caching import task

LATEST = "latest"
PERIODS = 24  # with their quality, the last ones
MEANING = {
    "schema": "Requests are not what the model expects: a client or a feed has changed",
    "value": "Features are distributed otherwise than in training: consider training again",
    "prediction": "The model answers otherwise than on the test rows: consider training again",
    "quality": "Values are missing, unknown or wild: look at the feed before anything is trained on it",
    "volume": "There is much more or much less traffic than usual",
}


class Beside(Value):
    """What a report shows besides its window. ``scores``: by period, oldest first; ``holdout``: ``metric`` on the test
    rows of the window's release; ``merged``: finished days, weeks and months."""

    scores: tuple[WindowScore, ...] = ()
    metric: str = "auc"
    holdout: float | None = None
    merged: tuple[Merged, ...] = ()


NOTHING = Beside()


@task(cached=False)
def write_drift_report(
    project: str,
    reference: Reference,
    window: Window,
    windows: Sequence[WindowDrift],
    alarm: Alarm,
    beside: Beside = NOTHING,
) -> FileRef:
    """Render the report of the last of ``windows`` (oldest first), keep it and tell Prefect of it."""
    html = render_drift(project, reference, window, windows, alarm, beside).encode()
    ref = store.put_bytes(html, "drift.html")
    folder = drift_report_path(project).parent
    name = datetime.fromtimestamp(window.end, UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    with store.readable_errors(folder):
        store.write_atomic(folder / f"{name}.html", html)
        store.write_atomic(folder / f"{name}.json", ref.model_dump_json().encode())
        store.write_atomic(folder / f"{LATEST}.html", html)
    artifacts.markdown(f"{project.replace('_', '-')}-drift", _markdown(project, windows[-1], alarm))
    return ref


def render_drift(
    project: str,
    reference: Reference,
    window: Window,
    windows: Sequence[WindowDrift],
    alarm: Alarm,
    beside: Beside = NOTHING,
) -> str:
    """The report's HTML: equal for equal inputs. ``windows``: oldest first, the last one is ``window``'s verdict."""
    from markupsafe import Markup

    drift = windows[-1]
    same = [one for one in windows if one.reference == drift.reference]
    scores = beside.scores[-PERIODS:]
    return page(
        "drift.html.j2",
        project=project,
        environment=settings().environment,
        reference=reference,
        drift=drift,
        alarm=alarm,
        state=_state(drift, alarm),
        sentence=sentence(drift, alarm),
        meaning=MEANING,
        cards=_cards(reference, window, drift),
        timeline=Markup(verdicts(windows)),  # noqa: S704
        beside=beside,
        scores=scores[::-1],
        quality=Markup(quality(scores, beside.metric, beside.holdout)),  # noqa: S704
        earlier=_earlier(drift),
        merged=beside.merged[::-1],
        past=_past(same),
        windows=same[-WINDOWS:],
        unjudged=[column for column in drift.columns if not column.judged],
        left_out=sorted(
            {column.name for column in reference.columns}
            - {column.name for column in drift.columns}
            - {check.column for check in drift.checks if check.name == "missing"}
        ),
        checks=sorted(drift.checks, key=lambda check: not check.alarm),
    )


def sentence(drift: WindowDrift, alarm: Alarm) -> str:
    """The verdict in words."""
    if alarm.raised:
        return "Alarm. " + " ".join(f"{MEANING[kind]}." for kind in alarm.raised)
    if drift.reasons:
        kinds = " and ".join(drift.reasons)
        return f"Something is beyond its limits ({kinds}), but not in as many windows as an alarm takes."
    if drift.reason:
        return f"No verdict: {drift.reason}."
    return f"No alarm: all {sum(one.judged for one in drift.columns)} features that were compared are within limits."


def _state(drift: WindowDrift, alarm: Alarm) -> tuple[str, str]:
    """What stands on the badge, and its class."""
    if alarm.raised:
        return "ALARM", "bad"
    if drift.reasons:
        return "WATCH", "watch"
    return ("NO VERDICT", "none") if drift.reason else ("NO ALARM", "good")


def _cards(reference: Reference, window: Window, drift: WindowDrift) -> list[dict[str, Any]]:
    """Every compared column, the predictions first, then the worst: its verdict and its plot."""
    from markupsafe import Markup

    before, now = ({column.name: column for column in part.columns} for part in (reference, window))
    pairs = [(column, before[column.name], now[column.name]) for column in drift.columns]
    pairs.sort(key=lambda pair: (-pair[0].worst, pair[0].name))
    if drift.predictions and reference.predictions and window.predictions:
        pairs.insert(0, (drift.predictions, reference.predictions, window.predictions))
    return [
        {"column": column, "prediction": column is drift.predictions, "svg": Markup(distribution(*both))}  # noqa: S704
        for column, *both in pairs
    ]


def _earlier(drift: WindowDrift) -> list[ColumnDrift]:
    """The columns beside the window before, predictions first, then those that moved most."""
    if drift.earlier is None:
        return []
    first = [drift.earlier.predictions.model_copy(update={"name": "predictions"})] if drift.earlier.predictions else []
    return [*first, *sorted(drift.earlier.columns, key=lambda column: (-column.worst, column.name))]


def _past(windows: Sequence[WindowDrift]) -> list[tuple[str, bool, Any]]:
    """(column, whether the latest window alarms, plot) of each column's history."""
    from markupsafe import Markup

    latest = windows[-1]
    named = [("predictions", latest.predictions)] if latest.predictions else []
    named += [(column.name, column) for column in sorted(latest.columns, key=lambda one: (-one.worst, one.name))]
    found = []
    for number, (name, column) in enumerate(named):
        predictions = number == 0 and column is latest.predictions
        values = [_worst(one.predictions if predictions else _column(one, name)) for one in windows]
        found.append((name, bool(column and column.alarm), Markup(history(name, values))))  # noqa: S704
    return found


def _column(window: WindowDrift, name: str) -> ColumnDrift | None:
    return next((column for column in window.columns if column.name == name), None)


def _worst(column: ColumnDrift | None) -> float | None:
    return column.worst if column is not None and column.judged else None


def _markdown(project: str, drift: WindowDrift, alarm: Alarm) -> str:
    lines = [f"# {project}: {sentence(drift, alarm)}", "", f"{time(drift.start)} to {time(drift.end)} UTC, ", ""]
    lines[2] += f"{drift.rows:,} rows, beside {drift.reference}."
    lines += [f"- {kind}: {escape(' '.join(text.split()))}" for kind, texts in drift.reasons.items() for text in texts]
    path = drift_report_path(project)
    lines += ["", f"The report: [{path.name}]({path.as_uri()}), {escape(str(path))}"]
    return "\n".join(lines)


def drift_report_path(project: str) -> Path:
    """Where the newest report is."""
    return settings().home / "reports" / project / "drift" / f"{LATEST}.html"


def require_drift_report(project: str) -> Path:
    """Where the newest report is. Raises DataError before the first."""
    path = drift_report_path(project)
    if not path.is_file():
        raise DataError(
            f"No window of `{project}` was judged yet.",
            where=str(path),
            next_step=f"penstock monitor {project} --close",
        )
    return path
