"""The commands that look at candidates: compare, explain-gate, reproduce; parts of `penstock`."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli_release import AS_JSON, PROJECT
from flows.terminal import say, watching

HTML = click.option(
    "--html",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Write a page too: to FILE, or where reports are kept. Put it last if you give no FILE.",
)


@click.command()
@PROJECT
@click.argument("before")
@click.argument("after")
@AS_JSON
@HTML
def compare(project: str, before: str, after: str, as_json: bool, html: str | None) -> None:
    """Two versions side by side: data, config, code, metrics, features.

    BEFORE and AFTER are versions (flights-v2), or candidates that were rejected (rejected-7).
    """
    from flows.compare import as_text, compare_page
    from flows.compare import compare as compare_candidates

    found = compare_candidates(project, before, after)
    page = None if html is None else compare_page(project, found, _file(html))
    say(found.model_dump_json(indent=1) if as_json else as_text(found))
    _tell(page, as_json)


@click.command("explain-gate")
@PROJECT
@click.argument("version", required=False)
@AS_JSON
@HTML
def explain_gate(project: str, version: str | None, as_json: bool, html: str | None) -> None:
    """Why VERSION passed its gates, or did not; left out, the last candidate that was judged."""
    from flows.compare import explain_gate as explain
    from flows.compare import gate_page

    found = explain(project, version or "")
    page = None if html is None else gate_page(found, _file(html))
    say(found.model_dump_json(indent=1) if as_json else str(found))
    _tell(page, as_json)


@click.command()
@PROJECT
@click.argument("version", required=False)
@click.option("--here", is_flag=True, help="In this environment, even if it is not the recorded one.")
@AS_JSON
def reproduce(project: str, version: str | None, here: bool, as_json: bool) -> None:
    """Make VERSION again from its record alone, and compare: model, metrics, Bento.

    Left out, the release that serves. Code comes from git, data from the DVC remote; another environment than the
    recorded one is installed with uv, from the pins of that commit.
    """
    from flows.reproduce import reproduce as reproduce_flow
    from flows.reproduce import require_proved

    with watching():
        found = reproduce_flow(project, version or "", here=here)
    say(found.model_dump_json(indent=1) if as_json else str(found))
    require_proved(found)


def _file(html: str) -> Path | None:
    return Path(html).absolute() if html else None


def _tell(page: Path | None, as_json: bool) -> None:
    """Where the page is: to stderr beside JSON, so that stdout stays one object."""
    if page is not None:
        say(f"page: {page}", err=as_json)


COMMANDS = (compare, explain_gate, reproduce)
