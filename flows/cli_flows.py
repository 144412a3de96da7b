"""The command `penstock deploy-flows`."""

from __future__ import annotations

import click

from flows.cli_release import AS_JSON
from flows.terminal import say


@click.command("deploy-flows")
@AS_JSON
def deploy_flows(as_json: bool) -> None:
    """Put work pool, deployments and alerts onto the Prefect server.

    What prefect.yaml and the projects' `alerts` say is created or updated; what they no longer say is removed. Called
    again, it changes nothing. The server is this checkout's own, or the one that PREFECT_API_URL names. `up` and `run`
    do the same.
    """
    from tasks.platform import platform

    platform.start_server_early()  # it comes up while Prefect is imported
    with platform.connected():
        from tasks.platform.deploying import deploy_flows as deploy

        done, unreached = deploy()
    say(done.model_dump_json(indent=1) if as_json else str(done))
    for error in unreached[:-1]:
        say(f"✗ {error.text()}", err=True)
    if unreached:
        raise unreached[-1]


COMMANDS = (deploy_flows,)
