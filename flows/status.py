"""status: what serves and how well, what happened last, which services run. Reads only; imports no Prefect."""

from __future__ import annotations

from penstock import forcing, ledger
from penstock.config import Project
from penstock.errors import PenstockError
from penstock.ledger import Event
from penstock.refs import Value
from penstock.retrain_history import fold
from tasks.data.project import config_path, load_project, project_names
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.monitoring.score_store import live_quality
from tasks.monitoring.watching import drift_report, estimate_of_last, watched
from tasks.platform import platform
from tasks.registry import ledger_store
from tasks.registry.registry import read_ledger
from tasks.serving.serving_status import Place, places, standing

SHOWN = 5


class ProjectStatus(Value):
    """One project as its ledger tells it. ``serving``, ``waiting`` (for approval): a version, or "".

    ``events`` are the last few, newest first; ``forced``: releases blessed by force that may serve, or do.
    """

    project: str
    serving: str
    standing: str
    places: tuple[Place, ...]
    releases: int
    waiting: str
    watched: str
    live: str
    estimate: str
    drift_report: str
    alarms: tuple[str, ...]
    stopped: str
    quarantined: dict[str, str]
    forced: tuple[str, ...]
    events: tuple[Event, ...]


class Status(Value):
    """Projects, and the services of this checkout, in one environment; "" is development."""

    projects: tuple[ProjectStatus, ...]
    services: str
    problems: tuple[str, ...]
    environment: str = ""

    def text(self) -> str:
        lines: list[str] = []
        for project in self.projects:
            lines.append(f"{project.project}: {project.standing}")
            lines += [str(place) for place in project.places]
            if project.waiting:
                lines.append(
                    f"  {project.waiting} waits for a person: penstock approve {project.project} {project.waiting} "
                    '--reason "..."'
                )
            if project.watched:
                lines.append(f"  watched: {project.watched}")
            if project.live:
                lines.append(f"  labelled: {project.live}")
            if project.estimate:
                lines.append(f"  without labels: {project.estimate}")
            if project.drift_report:
                lines.append(f"  drift report: {project.drift_report}")
            lines += [f"  ALARM: {cause}" for cause in project.alarms]
            if project.stopped:
                lines.append(
                    f'  retraining is stopped: {project.stopped}; penstock resume {project.project} --reason "..."'
                )
            lines += [f"  FORCED: {one}" for one in project.forced]
            lines += [f"  in quarantine: {version}, {why}" for version, why in project.quarantined.items()]
            lines += [f"  {event.line()}" for event in project.events]
        head = [f"environment: {self.environment}"] if self.environment else []
        return "\n".join([*head, *(lines or ["No project yet."]), "", self.services, *self.problems])


def status(config: str | None = None) -> Status:
    """The state of one project, or of all in `configs/`. A project whose files are wrong is named under `problems`."""
    names = [config] if config else project_names()
    projects, problems = [], []
    with ledger_store.at_hand() as hurry:
        for name in names:
            try:
                projects.append(_project(config_path(name).stem))
                projects[-1] = _with_quality(projects[-1], load_project(name))
            except PenstockError as error:
                if config:
                    raise
                problems.append(error.text())
    if hurry.away:
        problems.append("The shared store does not answer: this is the ledger as this machine saw it last.")
    services, here = str(platform.status()), settings().environment
    return Status(projects=tuple(projects), services=services, problems=tuple(problems), environment=here)


def _project(name: str) -> ProjectStatus:
    events = read_ledger(name)
    history = fold(events)
    return ProjectStatus(
        project=name,
        serving=serves.version if (serves := ledger.serving(events)) else "",
        standing=standing(events),
        places=places(name),
        releases=len(ledger.releases(events)),
        waiting=ledger.waiting(events),
        watched=watched(name),
        live="",
        estimate=estimate_of_last(name),
        drift_report=drift_report(name),
        alarms=tuple(sorted(history.alarms)),
        stopped=history.stop.reason if history.stop else "",
        quarantined=ledger.quarantined(events),
        forced=_forced(events),
        events=tuple(reversed(events[-SHOWN:])),
    )


def _forced(events: list[Event]) -> tuple[str, ...]:
    """What serves, or may still be deployed; those that are over and do not serve are history."""
    today, serves, barred = clock.now().date(), ledger.serving(events), ledger.quarantined(events)
    now = serves.version if serves else ""
    return tuple(
        forcing.standing(version, one, today)
        for version, one in forcing.forced(events).items()
        if version == now or (version not in barred and one.until >= today)
    )


def _with_quality(found: ProjectStatus, project: Project) -> ProjectStatus:
    """The last score that was stored, whether it was final then or has become so by time."""
    live = live_quality(project)
    return found.model_copy(update={"live": str(live)}) if live else found
