"""The command about files: score. It is a part of `penstock`."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli_release import AS_JSON, PROJECT
from flows.terminal import say, watching


@click.command()
@PROJECT
@click.argument("source", metavar="INPUT")
@click.argument("output")
@click.option("--version", default="", metavar="VERSION", help="Left out: what serves, or else the newest release.")
@click.option("--keys", default="", metavar="COL,COL", help="Columns of INPUT that OUTPUT repeats.")
@click.option("--on-invalid", type=click.Choice(["quarantine", "fail"]), help="Left out: what `data.on_invalid` says.")
@click.option("--force", is_flag=True, help="Replace OUTPUT if it is there.")
@click.option("--quarantined", is_flag=True, help="VERSION is meant though it is in quarantine.")
@click.option("--no-log", is_flag=True, help="Keep the rows out of monitoring.")
@AS_JSON
def score(
    project: str,
    source: str,
    output: str,
    version: str,
    keys: str,
    on_invalid: str | None,
    force: bool,
    quarantined: bool,
    no_log: bool,
    as_json: bool,
) -> None:
    """Score a file of rows with a release.

    INPUT is a .parquet, .csv or .csv.gz file, a folder of .parquet files, a pattern in quotes, `data` (the dataset as
    it is) or dataset:VERSION. OUTPUT is a .parquet or .csv. Rows that the schema does not allow go to
    OUTPUT.quarantine.parquet, with the reason.
    """
    from flows.score import score as score_flow
    from tasks.scoring.batch_input import absolute

    with watching():
        found = score_flow(
            project,
            absolute(source, Path.cwd()),
            absolute(output, Path.cwd()),
            version=version,
            keys=tuple(name.strip() for name in keys.split(",") if name.strip()),
            on_invalid=on_invalid or "",
            force=force,
            quarantined=quarantined,
            log=not no_log,
        )
    say(found.model_dump_json(indent=1) if as_json else found.text())


COMMANDS = (score,)
