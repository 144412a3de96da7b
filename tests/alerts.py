"""Alerts on the session's Prefect server, for tests of what is there and of what is sent."""

from __future__ import annotations

from typing import Any

from penstock.refs import FileRef
from tasks.platform.deploying import Deployed, deploy_flows
from tasks.registry import ledger_store

DIED = "penstock: tiny, runs that died"


NOWHERE = FileRef(name="record.json", sha256="0" * 64, size=1)


def deployed(live, **alerts: list[str]) -> Deployed:
    live.change(alerts=None)
    live.change(alerts=alerts or None)
    return deploy_flows()[0]


def append(kind: str, reason: str, version: str = "tiny-v2", **facts: str) -> None:
    """An event of the ledger, out of a flow, as flows of ours make them."""
    from prefect import flow

    fields = {"kind": kind, "version": version, "identity": "1" * 64, "record": NOWHERE, "reason": reason}

    @flow(name="appends")
    def appends() -> None:
        ledger_store.append("tiny", lambda _: {**fields, "facts": facts})

    appends()


def automations(client) -> dict[str, Any]:
    return {each.name: each for each in client.read_automations()}
