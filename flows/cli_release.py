"""The commands about releases: deploy, bless, rollback, approve, reject, history, drill, image; parts of `penstock`."""

from __future__ import annotations

import json
import sys

import click

from flows.terminal import say, watching

PROJECT = click.argument("project")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
REASON = click.option("--reason", default="", metavar="TEXT", help="Why; the ledger keeps it.")


@click.command()
@PROJECT
@click.argument("version", required=False)
@click.option("--force", is_flag=True, help="Also if it is in quarantine; needs --reason.")
@REASON
@AS_JSON
def deploy(project: str, version: str | None, force: bool, reason: str, as_json: bool) -> None:
    """Bring a release into production, step by step.

    The newest one, or VERSION (flights-v2). It goes through staging, recorded requests, shadow and canary; the
    champion stays when the evidence is against it.
    """
    from flows.deploy import deploy as deploy_flow

    with watching():
        found = deploy_flow(project, version=version or "", force=force, reason=reason)
    say(found.model_dump_json(indent=1) if as_json else str(found))
    if found.result == "waiting for approval":
        say(f'  next:    penstock approve {found.project} {found.version} --reason "..."')


@click.command()
@PROJECT
@click.argument("candidate", required=False)
@REASON
@click.option("--until", default="", metavar="WHEN", help="The last day that it may serve: 3d, or 2026-12-01.")
@click.option("--check", "checks", multiple=True, metavar="NAME", help="A check that failed; name each of them.")
@click.option("--by", default="", metavar="NAME", help="Who answers for it; left out, who types this.")
@AS_JSON
def bless(
    project: str, candidate: str | None, reason: str, until: str, checks: tuple[str, ...], by: str, as_json: bool
) -> None:
    """Let a candidate become a release that its gates rejected.

    The last one, or CANDIDATE: rejected-7, an identity or its beginning, or a version that was forced before. It is
    packaged and checked as any other; what failed, who overruled it, why and until when stays in its record.
    """
    from flows.bless import bless as bless_flow
    from flows.summary import as_dict, as_text
    from tasks.data.project import config_path
    from tasks.registry.forcing import overruled, rejected_event

    # what is missing is said at once, before Prefect makes a run of it
    overruled(rejected_event(config_path(project).stem, candidate or ""), reason, until, by, checks)
    with watching():
        outcome = bless_flow(project, candidate or "", reason=reason, until=until, checks=checks, by=by)
    say(json.dumps(as_dict(outcome, True), indent=1) if as_json else as_text(outcome, True))


@click.command()
@PROJECT
@click.option("--to", default="", metavar="VERSION", help="Left out: the last release that was healthy.")
@click.option("--force", is_flag=True, help="Also to a release that is in quarantine.")
@click.option("--dry-run", is_flag=True, help="Say where to, and change nothing.")
@REASON
@AS_JSON
def rollback(project: str, to: str, force: bool, dry_run: bool, reason: str, as_json: bool) -> None:
    """Back to the release that was healthy before, at once.

    The one that serves, or is being rolled out, goes into quarantine. Needs no Prefect server.
    """
    from tasks.data.project import config_path
    from tasks.rollout.rollback import plan_rollback, roll_back

    name = config_path(project).stem
    found = plan_rollback(name, to, force) if dry_run else roll_back(name, reason, to, force)
    say(found.model_dump_json(indent=1) if as_json else str(found))
    if not dry_run and not found.untold:
        from tasks.platform.events import tell_server
        from tasks.registry.registry import read_ledger
        from tasks.reports.mlflow_aliases import tell_mlflow

        sys.stdout.flush()  # traffic is back: what follows only tells others
        tell_server(next(event for event in reversed(read_ledger(name)) if event.kind == "rolled back"))
        problem = tell_mlflow(name)
        if problem:
            say(problem, err=True)


@click.command()
@PROJECT
@click.argument("version")
@REASON
def approve(project: str, version: str, reason: str) -> None:
    """Let a release into production that waits for a person's word."""
    from tasks.data.project import config_path
    from tasks.registry.approval import approve as approve_release

    name = config_path(project).stem
    approve_release(name, version, reason)
    say(f"{version} may be deployed.\n  next:    penstock deploy {name} {version}")


@click.command()
@PROJECT
@click.argument("version")
@REASON
def reject(project: str, version: str, reason: str) -> None:
    """Refuse a release that waits for a person's word."""
    from tasks.data.project import config_path
    from tasks.registry.approval import refuse

    name = config_path(project).stem
    refuse(name, version, reason)
    say(f"{version} is refused; the ledger has the reason.")


@click.command()
@PROJECT
@click.option("--at", default="", metavar="TIME", help="Who served then: 2026-03-01, or 2026-03-01T14:30 (UTC).")
@AS_JSON
def history(project: str, at: str, as_json: bool) -> None:
    """Who served when, why, and by whom."""
    # not `say`: each line is of the environment where it happened, and names that one
    from flows.history import history as read_history
    from flows.history import served_at

    if not at:
        found = read_history(project)
        click.echo(found.model_dump_json(indent=1) if as_json else str(found))
        return
    tenure = served_at(project, at)
    if as_json:
        click.echo(json.dumps(tenure.model_dump() if tenure else None, indent=1))
    else:
        click.echo(f"{tenure.version}: {tenure.why}, by {tenure.by}" if tenure else "Nothing served then.")


@click.command()
@PROJECT
@click.option("--fault", "faults", multiple=True, help="Only this one; may be given again.")
@AS_JSON
def drill(project: str, faults: tuple[str, ...], as_json: bool) -> None:
    """Roll out bad releases in a sandbox, and see that each is caught.

    It has ports of its own, and touches nothing that serves. The result is kept in the ledger.
    """
    from flows.drill import FAULTS
    from flows.drill import drill as run_drill
    from penstock.errors import RolloutError

    found = run_drill(project, faults or FAULTS)
    say(found.model_dump_json(indent=1) if as_json else str(found))
    if not found.passed:
        bad = [each.fault for each in found.rounds if not each.passed]
        raise RolloutError("The drill failed.", found=", ".join(bad), next_step=f"penstock history {project}")


@click.command()
@PROJECT
@click.argument("version", required=False)
@click.option("--backend", type=click.Choice(["podman", "buildah", "docker"]), help="Left out: the first there is.")
@click.option("--tag", default="", metavar="NAME", help="Left out: penstock/PROJECT:VERSION.")
@click.option("--build-option", "options", multiple=True, metavar="TEXT", help="Handed on to the build.")
@click.option("--push", default="", metavar="REPOSITORY", help="Push it there (registry/path, without a tag).")
@AS_JSON
def image(
    project: str,
    version: str | None,
    backend: str | None,
    tag: str,
    options: tuple[str, ...],
    push: str,
    as_json: bool,
) -> None:
    """Build a release's container image; the ledger keeps its digest.

    The newest release, or VERSION (flights-v2). Needs podman, buildah or Docker, and a registry only for --push.
    """
    from flows.image import image as build

    with watching():
        found = build(project, version or "", backend or "", tag, options, push)
    say(found.model_dump_json(indent=1) if as_json else str(found))


COMMANDS = (deploy, bless, rollback, approve, reject, history, drill, image)
