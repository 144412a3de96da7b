"""Everything that a checkout wants to have on its Prefect server: work pool, deployments, alerts."""

from __future__ import annotations

from penstock.errors import ConfigError
from penstock.refs import Value
from tasks.platform.alerting import ensure_alerts
from tasks.platform.changes import Change
from tasks.platform.deployments import ensure_deployments, readable_errors


class Deployed(Value):
    """What was done on the server, and the channels of alerts that reach nobody, each with why."""

    changes: tuple[Change, ...]
    unreached: dict[str, str]

    def news(self) -> str:
        """One line of what is not as it was, or not as it should be; "" if everything is."""
        done: dict[tuple[str, str], list[str]] = {}
        for each in self.changes:
            if each.done != "kept":
                done.setdefault((each.kind, each.done), []).append(each.name)
        lines = [
            f"{len(names)} {kind}s {how}" if len(names) > 1 else f"{kind} {names[0]} {how}"
            for (kind, how), names in done.items()
        ]
        nobody = [f"alerts for `{channel}` reach nobody: {why}" for channel, why in self.unreached.items()]
        return "; ".join([*lines, *nobody])

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes))


def deploy_flows() -> tuple[Deployed, list[ConfigError]]:
    """Create, update and remove until the server has what the files say; called again, it changes nothing.

    Needs `tasks.platform.platform.connected()` around it. Returns what was done, and an error for each channel of
    alerts that reaches nobody: no reason to leave the rest undone. Raises ConfigError, PlatformError.
    """
    deployments = ensure_deployments()
    with readable_errors():
        changes, unreached = ensure_alerts(deployments.ids)
    done = Deployed(
        changes=(*deployments.changes, *changes),
        unreached={channel: error.found for channel, error in unreached.items()},
    )
    return done, list(unreached.values())
