"""Who is told of what: the section `alerts` of a project's YAML. No part of a model's identity.

Addresses are secrets and differ between environments, so none is here: a channel is a name.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

Alert = Literal["gate", "rollout", "approval", "drift", "schema", "performance", "retraining", "crash"]
ALERTS: tuple[Alert, ...] = get_args(Alert)
Named = Literal["all", "gate", "rollout", "approval", "drift", "schema", "performance", "retraining", "crash"]
assert get_args(Named) == ("all", *ALERTS)

# `ops`, whose address the environment knows, or a block that somebody saved in Prefect: `slack-webhook/ops`
Channel = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,47}(/[a-z0-9][a-z0-9-]{0,99})?$")]
AlertsConfig = dict[Channel, tuple[Named, ...]]


def wanted(named: tuple[str, ...]) -> tuple[Alert, ...]:
    """The alerts that a channel gets, in the order of `ALERTS`."""
    return tuple(alert for alert in ALERTS if alert in named or "all" in named)
