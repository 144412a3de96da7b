"""The commands about what is served: monitor, label, resume, simulate. They are parts of `penstock`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flows.cli_release import AS_JSON, PROJECT, REASON
from flows.terminal import say, watching
from penstock.simulation import SCENARIOS, Scenario


@click.command()
@PROJECT
@click.argument("file", required=False)
@click.option("--sql", default="", metavar="URL", help="A database, without its password (PENSTOCK_SQL_PASSWORD).")
@click.option("--query", default="", metavar="SELECT", help="What to read there.")
@click.option("--again", is_flag=True, help="These labels are meant anew, though they were recorded before.")
@AS_JSON
def label(project: str, file: str | None, sql: str, query: str, again: bool, as_json: bool) -> None:
    """Record labels that came after the predictions.

    FILE is a .csv or .parquet with the columns that the project's YAML names under `labels`, and the label. Labels may
    come in any order, several times and corrected: the latest arrival counts.
    """
    from flows.label import label as label_flow
    from tasks.monitoring.label_sources import LabelSource, require_source

    place = str(Path(file).resolve()) if file else ""
    require_source(LabelSource(file=place, sql=sql, query=query))  # before Prefect keeps the arguments
    with watching():
        found = label_flow(project, file=place, sql=sql, query=query, again=again)
    say(found.model_dump_json(indent=1) if as_json else str(found))


@click.command()
@PROJECT
@REASON
def resume(project: str, reason: str) -> None:
    """Let monitoring ask for trainings again, after it was stopped."""
    from tasks.data.project import config_path
    from tasks.monitoring.retraining import resume as resume_retraining
    from tasks.platform.events import tell_server

    name = config_path(project).stem
    event = resume_retraining(name, reason)
    say(f"{name}: retraining may be asked for again; the ledger has the reason.")
    sys.stdout.flush()  # what follows only tells others
    tell_server(event)


@click.command()
@PROJECT
@click.option("--close", is_flag=True, help="Take what there is, though the window is neither full nor over.")
@AS_JSON
def monitor(project: str, close: bool, as_json: bool) -> None:
    """Compare what was served since the last time with the training data.

    Says whether it drifted, and decides whether to train again, to call a person, or neither.
    """
    from flows.monitor import monitor as monitor_flow

    with watching():
        found = monitor_flow(project, close=close)
    say(found.model_dump_json(indent=1) if as_json else str(found))


@click.command()
@PROJECT
@click.option(
    "--scenario", type=click.Choice(SCENARIOS), default=SCENARIOS[0], show_default=True,
    help="The months as they were, or with a planted shift of what labels depend on.",
)  # fmt: skip
@click.option("--until", default="", metavar="BATCH", help="The last batch to play; left out, the source's last.")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help="Of the rows to play."
)
@click.option("--keep", is_flag=True, help="Keep the sandbox's folder, to look around in it.")
@AS_JSON
def simulate(project: str, scenario: Scenario, until: str, share: float, keep: bool, as_json: bool) -> None:
    """Play the months after `data.until` as live traffic, and see the whole loop go round.

    In a sandbox with ports and a clock of its own; nothing that serves is touched. Gates and limits are the project's.
    """
    from flows.simulate import simulate as play

    found = play(project, scenario, until, share, keep)
    say(found.model_dump_json(indent=1) if as_json else str(found))
    found.require_well()


COMMANDS = (monitor, label, resume, simulate)
