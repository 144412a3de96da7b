"""Puts the alerts of every project in `configs/` onto the Prefect server: their channels and automations, no others.

An automation is ours if it has our tag and the name of a project of ours, or one that this checkout put there before.
What people made themselves has no such tag and is left alone; one of ours that somebody has paused stays paused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from penstock.alert_config import wanted
from penstock.config import Project
from penstock.errors import ConfigError, PenstockError
from tasks.data.project import load_project, project_names
from tasks.platform import prefect_names, server_records
from tasks.platform.alert_channels import Reached, ensure_channel, remove_channel
from tasks.platform.automations import TAG, died, lost, told
from tasks.platform.changes import Change, Done
from tasks.store import locks

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import Automation, AutomationCore

RECORD = "alerts"


def ensure_alerts(deployments: Mapping[str, Mapping[str, str]]) -> tuple[list[Change], dict[str, ConfigError]]:
    """Create, update and remove until the server has what the projects' YAMLs say.

    ``deployments``: project -> name -> id of those on the server. Returns what was done, and the channels that reach
    nobody, each with why. These, and projects whose YAML is wrong, are left as they are.
    """
    from prefect.client.orchestration import get_client

    projects, unreadable = _projects()
    with locks.exclusive("alerts"), get_client(sync_client=True) as client:
        reached, changes, unreached = _channels(client, projects)
        made = {channel for channel in reached if "/" not in channel}
        before = server_records.read(RECORD)
        known, known_projects = set(before.get("channels", [])), {*projects, *before.get("projects", [])}
        _record(known | made, known_projects)  # if this breaks off, what it did is known to be ours
        wants = {each.name: each for each in _definitions(projects, reached, deployments)}
        ours = _ours(client, known_projects - unreadable)
        changes += _reconciled(client, wants, [each for each in ours if _channel_of(each.name) not in unreached])
        if not unreadable:
            declared = {channel for each in projects.values() for channel in each.alerts}
            changes += _removed(client, known - declared)
            _record((known | made) & declared, set(projects))
    return changes, unreached


def silent_seconds() -> int | None:
    """After how long without a heartbeat a run is dead: two are lost, and half of one of patience. None: there are
    none. Where runs are started with another `PREFECT_FLOWS_HEARTBEAT_FREQUENCY`, it has to be set here too."""
    from prefect.settings import get_current_settings

    frequency = get_current_settings().flows.heartbeat_frequency
    return None if frequency is None else frequency * 5 // 2


def _projects() -> tuple[dict[str, Project], set[str]]:
    """(projects by name, names of those that cannot be read)."""
    projects, unreadable = {}, set()
    for name in project_names():
        try:
            projects[name] = load_project(name)
        except PenstockError:  # whoever uses the project is told
            unreadable.add(name)
    return projects, unreadable


def _channels(
    client: SyncPrefectClient, projects: Mapping[str, Project]
) -> tuple[dict[str, Reached], list[Change], dict[str, ConfigError]]:
    reached, changes, unreached = {}, [], {}
    for channel in sorted({channel for project in projects.values() for channel in project.alerts}):
        try:
            reached[channel], done = ensure_channel(client, channel)
        except ConfigError as error:
            unreached[channel] = error
        else:
            changes.append(Change(done=done, kind="channel", name=channel))
    return reached, changes, unreached


def _definitions(
    projects: Mapping[str, Project], reached: Mapping[str, Reached], deployments: Mapping[str, Mapping[str, str]]
) -> Iterable[AutomationCore]:
    seconds = silent_seconds()
    for name, project in projects.items():
        runs = deployments.get(name, {})
        if seconds is not None:
            yield died(name, runs.values(), seconds)
        for channel, named in project.alerts.items():
            alerts = wanted(named)
            if channel not in reached:
                continue
            by_ledger = tuple(alert for alert in alerts if alert != "crash")
            if by_ledger:
                yield told(name, reached[channel], by_ledger)
            if "crash" in alerts and runs:
                yield lost(name, reached[channel], runs.values())


def _ours(client: SyncPrefectClient, projects: Iterable[str]) -> list[Automation]:
    names = {prefect_names.project(each) for each in projects}
    return [each for each in client.read_automations() if TAG in each.tags and _project_of(each.name) in names]


def _project_of(automation: str) -> str:
    """The project in the name of an automation of ours: `penstock: flights -> ops`; with `@NAME` in an environment."""
    return automation.removeprefix("penstock: ").partition(" -> ")[0].partition(",")[0]


def _channel_of(automation: str) -> str:
    return automation.partition(" -> ")[2]


def _reconciled(client: SyncPrefectClient, wants: dict[str, AutomationCore], ours: list[Automation]) -> list[Change]:
    changes = []
    there: dict[str, Automation] = {}
    for found in ours:
        if found.name in wants and found.name not in there:
            there[found.name] = found
        else:  # nobody wants it, or it is there twice
            client.delete_automation(found.id)
            changes.append(Change(done="removed", kind="automation", name=found.name))
    for name, want in wants.items():
        done: Done = "kept"
        if name not in there:
            client.create_automation(want)
            done = "created"
        else:
            kept = want.model_copy(update={"enabled": there[name].enabled})
            if _plain(kept) != _plain(there[name]):
                client.update_automation(there[name].id, kept)
                done = "updated"
        changes.append(Change(done=done, kind="automation", name=name))
    return changes


def _plain(automation: AutomationCore) -> dict[str, Any]:
    """As JSON, without the id, and with sets in order."""
    tree = automation.model_dump(mode="json", exclude={"id"})
    tree["trigger"] = {
        key: sorted(value, key=str) if isinstance(value, list) else value for key, value in tree["trigger"].items()
    }
    return tree


def _removed(client: SyncPrefectClient, channels: set[str]) -> list[Change]:
    gone = [channel for channel in sorted(channels) if remove_channel(client, channel)]
    return [Change(done="removed", kind="channel", name=channel) for channel in gone]


def _record(channels: set[str], projects: set[str]) -> None:
    server_records.write(RECORD, {"channels": sorted(channels), "projects": sorted(projects)})
