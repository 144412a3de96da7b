"""Prefect automations: what is sent where for a project's `alerts`, and what marks runs as crashed that died unheard.

Only definitions are here; `tasks/platform/alerting.py` puts them onto the server.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from penstock.alert_config import Alert
from penstock.next_command import named
from tasks.machine.settings import settings
from tasks.platform import prefect_names
from tasks.platform.alert_channels import WEBHOOK, Reached
from tasks.platform.events import run_tag

if TYPE_CHECKING:
    from prefect.events.schemas.automations import AutomationCore

TAG = "penstock"  # of every automation that is ours
# a state that is none of Prefect's own is named in the event as the flow named it
ENDED = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut", "Rejected", "RolledBack", "Held")
AT_REST = ("Paused", "Suspended", "AwaitingRetry", "Scheduled")
LOST = ("Failed", "Crashed", "TimedOut")
LONGEST = 1500  # characters of a reason: Slack shows no more than 3000 at once

HEADLINE = "{{ event.payload.headline }}"
TEXT = (
    "{% if event.payload.reason not in event.payload.next %}"
    f"{{{{ event.payload.reason | truncate({LONGEST}) }}}}\n\n"
    "{% endif %}"
    "{% for command in event.payload.next %}next: {{ command }}\n{% endfor %}"
    "by {{ event.payload.by }}, {{ event.occurred.strftime('%Y-%m-%d %H:%M UTC') }}\n"
    "{% if flow_run %}{{ flow_run | ui_url }}{% endif %}"
)
LOST_TEXT = (
    f"{{{{ (event.resource['prefect.state-message'] or 'no message') | truncate({LONGEST}) }}}}\n\n"
    "next: penstock status %s\n"
    "run {{ event.resource['prefect.resource.name'] }}, {{ event.occurred.strftime('%%Y-%%m-%%d %%H:%%M UTC') }}\n"
    "{{ flow_run | ui_url }}"
)


def died(project: str, deployments: Iterable[str], seconds: int) -> AutomationCore:
    """Marks a run as Crashed that has sent no heartbeat for so long: its machine or its worker died with it.

    ``deployments``: ids of the project's. Runs that a call started have its tag; those of others are left alone.
    """
    beat = "prefect.flow-run.heartbeat"
    runs = sorted([f"prefect.tag.{run_tag(project)}", *(f"prefect.deployment.{each}" for each in deployments)])
    return _automation(
        f"penstock: {prefect_names.project(project)}, runs that died",
        f"Marks a run as Crashed after {seconds} s without a heartbeat",
        {
            "posture": "Proactive",
            "after": {beat},
            "expect": {beat, *(f"prefect.flow-run.{state}" for state in (*ENDED, *AT_REST))},
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": {"prefect.resource.id": runs},
            "for_each": {"prefect.resource.id"},
            "within": timedelta(seconds=seconds),
        },
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "message": f"no heartbeat for {seconds} s: its process or its machine died",
        },
    )


def told(project: str, reached: Reached, alerts: tuple[Alert, ...]) -> AutomationCore:
    """Sends what the ledger tells of ``project`` under these ``alerts`` to the channel."""
    resource = {"prefect.resource.id": prefect_names.resource(project), "penstock.alert": list(alerts)}
    return _automation(
        f"penstock: {prefect_names.project(project)} -> {reached.channel}",
        f"Sends {', '.join(alerts)} to {reached.channel}",
        {"posture": "Reactive", "expect": {"penstock.*"}, "match": resource},
        _sent(project, reached, HEADLINE, TEXT),
    )


def lost(project: str, reached: Reached, deployments: Iterable[str]) -> AutomationCore:
    """Sends runs of the project's deployments that ended Failed or Crashed to the channel.

    A candidate that was rejected and a rollout that was taken back have states, and alerts, of their own.
    """
    runs = sorted(f"prefect.deployment.{each}" for each in deployments)
    here = settings().environment
    place = f" in {here}" if here else ""
    return _automation(
        f"penstock: {prefect_names.project(project)}, lost runs -> {reached.channel}",
        f"Sends failed and crashed runs to {reached.channel}",
        {
            "posture": "Reactive",
            "expect": {f"prefect.flow-run.{state}" for state in LOST},
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": {"prefect.resource.id": runs},
        },
        _sent(
            project,
            reached,
            f"{project}{place}: {{{{ flow.name }}}} {{{{ event.resource['prefect.state-name'] | lower }}}}",
            named(LOST_TEXT % project, here),
        ),
    )


def _sent(project: str, reached: Reached, headline: str, text: str) -> dict[str, Any]:
    if reached.type != WEBHOOK:
        return {
            "type": "send-notification",
            "block_document_id": reached.block,
            "subject": headline,
            "body": text,
        }
    # `text` alone is what Slack, Mattermost and Google Chat show; the rest is for programs
    payload = (
        f"{{% set headline %}}{headline}{{% endset %}}{{% set text %}}{headline}\n\n{text}{{% endset %}}"
        '{"text": {{ text | tojson }}, "headline": {{ headline | tojson }}, '
        f'"project": "{project}", '
        '"event": {{ event.event | tojson }}, "payload": {{ event.payload | tojson }}}'
    )
    return {"type": "call-webhook", "block_document_id": reached.block, "payload": payload}


def _automation(name: str, description: str, trigger: dict[str, Any], action: dict[str, Any]) -> AutomationCore:
    from prefect.events.schemas.automations import AutomationCore

    return AutomationCore.model_validate(
        {
            "name": name,
            "description": description,
            "tags": [TAG],
            "trigger": {"type": "event", "threshold": 1, "within": timedelta(0)} | trigger,
            "actions": [action],
        }
    )
