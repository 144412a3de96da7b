"""The commands that keep an installation well: doctor; parts of `penstock`."""

from __future__ import annotations

import click

from flows.cli_release import AS_JSON


@click.command()
@click.option("--write", is_flag=True, help="Also write to the DVC remote: an empty file, removed again.")
@AS_JSON
def doctor(write: bool, as_json: bool) -> None:
    """Check addresses, versions, ports, disk, clock and records, and say what to do.

    Changes nothing. Exit code 8 if any check failed; a warning is no failure.
    """
    from penstock.diagnosis import require_healthy
    from tasks.doctor import examine

    found = examine(write)
    click.echo(found.model_dump_json(indent=1) if as_json else str(found))
    require_healthy(found)


COMMANDS = (doctor,)
