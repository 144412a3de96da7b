"""Everything that a checkout wants to have on its Prefect server: work pool, deployments, alerts."""

from __future__ import annotations

from penstock.errors import ConfigError
from penstock.refs import Value
from tasks.alerting import ensure_alerts
from tasks.changes import Change
from tasks.deployments import ensure_deployments, readable_errors


class Deployed(Value):
    """What was done on the server; ``unreached``: alert channels without an address, and where one is looked for."""

    changes: tuple[Change, ...]
    unreached: dict[str, str]

    def news(self) -> str:
        """One line of what is not as it was, or not as it should be; "" if everything is."""
        missing = [f"the channel `{channel}` has no address: {place}" for channel, place in self.unreached.items()]
        done = [
            each.name if each.done == "created" else f"{each.name} ({each.done})"
            for each in self.changes
            if each.done != "kept"
        ]
        return "; ".join(filter(None, [", ".join(done), *missing]))

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes))


def deploy_flows() -> Deployed:
    """Create, update and remove until the server has what the files say; called again, it changes nothing.

    Needs `tasks.platform.connected()` around it. Raises ConfigError, PlatformError.
    """
    deployments = ensure_deployments()
    with readable_errors():
        alerts = ensure_alerts(deployments.ids)
    return Deployed(changes=(*deployments.changes, *alerts.changes), unreached=alerts.unreached)


def require_reached(deployed: Deployed) -> None:
    """Raise ConfigError if a channel of alerts has no address."""
    for channel, place in deployed.unreached.items():
        raise ConfigError(
            f"The channel `{channel}` has no address: its alerts reach nobody.",
            where=place,
            next_step="set it, or save the block in Prefect, then: penstock deploy-flows",
        )
