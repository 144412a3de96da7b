"""The `penstock` command. Thin: flows do the work, and each is as easily called from Python.

Exit codes: 0 well; 1 something unforeseen; 2 the command line or a config; 3 rejected by the gates; 4 data;
5 training; 6 packaging; 7 a server; 8 a file or lock of Penstock's own, or what `doctor` found; 9 a rollout that failed
or could not be judged; 10 a release that came out otherwise when it was made again; 11 the checkout's own linters,
types or tests; 130 interrupted.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

import click

from flows import cli_ci, cli_flows, cli_look, cli_new, cli_operate, cli_release, cli_score, cli_watch
from flows.cli_env import environment_option
from flows.cli_release import AS_JSON, PROJECT
from flows.terminal import readable_errors, say, watching
from penstock import __version__
from penstock.errors import PackagingError, Rejected, RolloutError


class Commands(click.Group):
    """Commands in the order a newcomer meets them, and errors as text."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what runs is ended, as Ctrl-C would
        with readable_errors():
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="penstock")
def main() -> None:
    """From one YAML file to a gated model in production, and the record of how it came to be.

    PROJECT is the name of a file in configs/ (`flights` for configs/flights.yaml) or its path.

    \b
    penstock new NAME FILE --target COLUMN   a project of your own table
    penstock run flights        ingest what is new, train, gate, package, deploy; the whole job
    penstock plan flights       what `run` would do now, and why; runs nothing
    penstock status             what serves, how well, and what happened last
    penstock rollback flights   back to the release that was healthy before

    Exit codes: 0 well, 1 unforeseen, 2 usage or config, 3 rejected by the gates, 4 data, 5 training,
    6 packaging, 7 server, 8 file, lock or doctor, 9 rollout, 10 not reproduced, 11 own checks,
    130 interrupted.
    """


main.add_command(cli_new.new)


@main.command()
@PROJECT
@AS_JSON
def run(project: str, as_json: bool) -> None:
    """Ingest what the project asks for, train, bring the release into production: the main job."""
    from flows.plan import nothing_to_do
    from tasks.platform import platform
    from tasks.rollout.rollback import answering

    outcome = nothing_to_do(project)
    if outcome is not None:
        if outcome.release.version and not answering(outcome.release.project):
            with watching():
                platform.up()
        _finish(outcome, as_json, changed=False)
        return
    platform.start_server_early()
    from flows.run import run as run_flow

    with watching():
        error: RolloutError | None = None
        try:
            ended = _outcome(run_flow, project)
        except RolloutError as found:
            if found.outcome is None:
                raise
            error, ended = found, found.outcome
        platform.up()
    _finish(getattr(ended, "outcome", ended), as_json, changed=True)
    if error:
        raise error


@main.command()
@PROJECT
@AS_JSON
def plan(project: str, as_json: bool) -> None:
    """Say of each step whether it would run now, and why. Runs nothing."""
    from flows.plan import plan_run

    steps = plan_run(project)
    if as_json:
        say(json.dumps([step.model_dump() for step in steps], indent=1))
        return
    if not any(step.runs for step in steps):
        say("Nothing would run: data, config, code and environment are those of the last run.")
    for step in steps:
        say(f"  {'run ' if step.runs else 'keep'}  {step.name:<19} {'; '.join(step.reasons)}")


@main.command()
@PROJECT
@click.option("--until", default="", metavar="BATCH", help="Ingest every batch up to this one; left out, the next one.")
@click.option("--commit", is_flag=True, help="Commit the dataset's .dvc file to git, and nothing else.")
@AS_JSON
def ingest(project: str, until: str, commit: bool, as_json: bool) -> None:
    """Take the next batch: validate, set bad rows aside, version."""
    from flows.ingest import ingest as ingest_flow

    with watching():
        result = ingest_flow(project, until=until, commit=commit)
    say(result.model_dump_json(indent=1) if as_json else str(result))


@main.command()
@PROJECT
@click.option("--revision", default="", metavar="REV", help="A git revision or dataset version to train on.")
@AS_JSON
def train(project: str, revision: str, as_json: bool) -> None:
    """Train on what was ingested; gate, package, register."""
    from flows.train import train as train_flow

    with watching():
        outcome = _outcome(train_flow, project, revision=revision)
    _finish(outcome, as_json, changed=True)


@main.command()
@PROJECT
@click.argument("version", required=False)
@click.option("--port", default=3000, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
@AS_JSON
def serve(project: str, version: str | None, port: int, as_json: bool) -> None:
    """Serve a release on this machine; prints how to call it.

    The newest one, or VERSION (flights-v2), on 127.0.0.1 until Ctrl-C.
    """
    from flows.serve import serving

    with serving(project, version or "", port) as (facts, server):
        say(facts.model_dump_json(indent=1) if as_json else str(facts))
        sys.stdout.flush()
        server.wait()
    raise PackagingError("The server ended by itself.", where=facts.address, next_step="start it again")


@main.command()
@click.argument("project", required=False)
@AS_JSON
def status(project: str | None, as_json: bool) -> None:
    """What is released, which services run, and what happened last."""
    from flows.status import status as read_status

    found = read_status(project)
    say(found.model_dump_json(indent=1) if as_json else found.text())


@main.command()
@PROJECT
@click.argument("version", required=False)
@click.option("--drift", is_flag=True, help="That of the last window that was served, instead.")
@AS_JSON
def report(project: str, version: str | None, drift: bool, as_json: bool) -> None:
    """Where the last report is, or that of VERSION (flights-v2)."""
    from tasks.data.project import load_project
    from tasks.reports.reporting import report_path

    name = load_project(project).name
    if drift:
        from tasks.reports.drift_report import require_drift_report

        path = require_drift_report(name)
    else:
        path = report_path(name, version or "")
    say(json.dumps({"report": str(path)}) if as_json else path)


@main.command()
def schema() -> None:
    """Print the JSON Schema of a project's YAML."""
    from penstock.config import json_schema

    say(json.dumps(json_schema(), indent=2))


@main.command()
@click.option("--with-prometheus", is_flag=True, help="Also the Prometheus that is installed here.")
def up(with_prometheus: bool) -> None:
    """Start what is to run: gateway, releases, Prefect server and worker; put deployments in order.

    After a power cut, this brings back exactly what served before.
    """
    from tasks.platform import platform

    platform.up()
    if with_prometheus:
        platform.watch()
    say(platform.status())


@main.command()
def down() -> None:
    """Stop all that this checkout runs: releases, gateway, Prefect. What it recorded stays."""
    from tasks.platform import platform

    platform.down()
    say("Stopped. `penstock up` or `penstock run` starts them again.")


def _outcome(flow: Any, *arguments: Any, **options: Any) -> Any:
    """What a training flow ended with, also when that is a rejection: it has a summary too."""
    try:
        return flow(*arguments, **options)
    except Rejected as error:
        if error.outcome is None:
            raise
        return error.outcome


def _finish(outcome: Any, as_json: bool, changed: bool) -> None:
    from flows.summary import as_dict, as_text

    say(json.dumps(as_dict(outcome, changed), indent=1) if as_json else as_text(outcome, changed))
    if outcome.release.verdict == "rejected":
        raise outcome.rejection()


for part in (cli_release, cli_watch, cli_score, cli_look, cli_ci, cli_flows, cli_operate):
    for command in part.COMMANDS:
        main.add_command(command)
environment_option(main)

if __name__ == "__main__":
    main()
