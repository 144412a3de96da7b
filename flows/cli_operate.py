"""The commands that keep an installation well: doctor, gc; parts of `penstock`."""

from __future__ import annotations

import click

from flows.cli_release import AS_JSON
from flows.terminal import say


@click.command()
@click.option("--write", is_flag=True, help="Also write to the DVC remote: an empty file, removed again.")
@AS_JSON
def doctor(write: bool, as_json: bool) -> None:
    """Check addresses, versions, ports, disk, clock and records, and say what to do.

    Changes nothing. Exit code 8 if any check failed; a warning is no failure.
    """
    from penstock.diagnosis import require_healthy
    from tasks.operations.doctor import examine

    found = examine(write)
    say(found.model_dump_json(indent=1) if as_json else str(found))
    require_healthy(found)


@click.command()
@click.option("--yes", is_flag=True, help="Free it. Left out, only a forecast is printed.")
@click.option("--dry-run", is_flag=True, help="Only a forecast, also with --yes.")
@click.option(
    "--keep", default=5, show_default=True, type=click.IntRange(min=1), help="Newest releases that stay whole."
)
@click.option(
    "--older-than", default="30d", show_default=True, metavar="AGE", help="What is younger stays: 12h, 30d, 2w."
)
@click.option("--shared", is_flag=True, help="Also what the shared store has and no record in it needs.")
@click.option(
    "--grace",
    default="7d",
    show_default=True,
    metavar="AGE",
    help="With --shared: how long it is listed before it goes; 2d or longer.",
)
@AS_JSON
def gc(yes: bool, dry_run: bool, keep: int, older_than: str, shared: bool, grace: str, as_json: bool) -> None:
    """Say what could be freed, and with --yes free it.

    Never what a release, a rollback, the ledger, a running program or a run needs: every candidate can still be
    explained, compared, deployed and made again.
    """
    from penstock.garbage import seconds_of
    from tasks.operations.collecting_garbage import forecast, free

    age, grace_seconds = seconds_of(older_than, "--older-than"), seconds_of(grace, "--grace") if shared else None
    found = free(keep, age, grace_seconds) if yes and not dry_run else forecast(keep, age, grace_seconds)
    say(found.model_dump_json(indent=1) if as_json else str(found))


COMMANDS = (doctor, gc)
