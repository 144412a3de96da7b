"""status: what is released, what would be compared with, which services run. Reads only; imports no Prefect."""

from __future__ import annotations

from penstock import ledger
from penstock.errors import PenstockError
from penstock.ledger import Event
from penstock.refs import Value
from tasks import platform
from tasks.project import config_path, load_project
from tasks.registry import read_ledger
from tasks.settings import settings

SHOWN = 5


class ProjectStatus(Value):
    """One project as its ledger tells it; `events` are the last few, newest first."""

    project: str
    champion: str
    why: str
    releases: int
    events: tuple[Event, ...]


class Status(Value):
    """Projects, and the services of this checkout."""

    projects: tuple[ProjectStatus, ...]
    services: str
    problems: tuple[str, ...]

    def text(self) -> str:
        lines: list[str] = []
        for project in self.projects:
            lines.append(
                f"{project.project}: {project.champion or 'no release yet'}"
                + (f" ({project.why})" if project.why else "")
            )
            for event in project.events:
                subject = event.version or "candidate"
                lines.append(f"  {event.time[:19].replace('T', ' ')}  {subject:<14} {event.kind:<11} {event.reason}")
        return "\n".join([*(lines or ["No project yet."]), "", self.services, *self.problems])


def status(config: str | None = None) -> Status:
    """The state of one project, or of all in `configs/`. A project whose files are wrong is named under `problems`."""
    names = [config] if config else sorted(path.stem for path in (settings().root / "configs").glob("*.yaml"))
    projects, problems = [], []
    for name in names:
        try:
            projects.append(_project(config_path(name).stem))
            load_project(name)
        except PenstockError as error:
            if config:
                raise
            problems.append(error.text())
    return Status(projects=tuple(projects), services=str(platform.status()), problems=tuple(problems))


def _project(name: str) -> ProjectStatus:
    events = read_ledger(name)
    champion = ledger.newest(events)
    return ProjectStatus(
        project=name,
        champion=champion.version if champion else "",
        why="the newest release" if champion else "",
        releases=sum(event.kind == "registered" for event in events),
        events=tuple(reversed(events[-SHOWN:])),
    )
