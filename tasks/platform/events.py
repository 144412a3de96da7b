"""Prefect events of ours: what triggers of `prefect.yaml`, alerts, and automations of a team's own react to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from penstock.ledger import Event
from penstock.notice import notice
from tasks.machine.environments import DEVELOPMENT
from tasks.machine.settings import settings
from tasks.platform import prefect_names
from tasks.store.caching import in_flow_run

_chained: ContextVar[bool] = ContextVar("penstock_chained", default=False)


@contextlib.contextmanager
def chained() -> Iterator[None]:
    """What is told of in this block is followed up by the caller: its events say so, and triggers leave them alone."""
    token = _chained.set(True)
    try:
        yield
    finally:
        _chained.reset(token)


def tell(event: str, project: str, **payload: str) -> None:
    """Emit ``penstock.<event>`` about a project, while a flow runs. Its resource says who follows it up:

    ``penstock.follow-up`` is ``trigger``, or ``run`` where the flow that told goes on by itself.
    """
    if in_flow_run():
        _emit({"event": f"penstock.{event}", "resource": _resource(project), "payload": payload})


def tell_of(event: Event) -> None:
    """Emit what the ledger has just been told, while a flow runs. The label ``penstock.alert`` names its alert."""
    if in_flow_run():
        _emit(_described(event))


def tell_server(event: Event) -> None:
    """The same from a command, which runs no flow, if a server answers. Imports Prefect: what matters is done first."""
    from tasks.platform import platform

    if not platform.answers():
        return
    platform.prefect_environment()
    with contextlib.suppress(Exception):  # as below
        from prefect.client.orchestration import get_client
        from prefect.events import Event as PrefectEvent

        sent = PrefectEvent.model_validate(_described(event)).model_dump(mode="json")
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[sent])


def run_tag(project: str) -> str:
    """The tag of a project's flow runs that a call started. Those of a deployment have the deployment."""
    return f"penstock:{prefect_names.project(project)}"


def _described(event: Event) -> dict[str, Any]:
    told = notice(event)
    payload = {
        "headline": told.headline,
        "reason": event.told(),
        "version": event.version,
        "next": list(told.next),
        "by": event.by,
        "sequence": event.sequence,
        "environment": event.environment,
        "facts": event.facts,
    }
    return {
        "event": f"penstock.{told.event}",
        "resource": _resource(event.project) | ({"penstock.alert": told.alert} if told.alert else {}),
        "payload": payload,
    }


def _resource(project: str) -> dict[str, str]:
    return {
        "prefect.resource.id": prefect_names.resource(project),
        "prefect.resource.name": project,
        prefect_names.ENVIRONMENT: settings().environment or DEVELOPMENT,
        "penstock.follow-up": "run" if _chained.get() else "trigger",
    }


def _emit(event: dict[str, Any]) -> None:
    from prefect.events import emit_event

    with contextlib.suppress(Exception):  # an event that cannot be told must not undo what it tells of
        emit_event(**event)
