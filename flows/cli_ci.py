"""`penstock ci`: the stages that every CI system runs, and the files that have them run. A part of `penstock`."""

from __future__ import annotations

from typing import get_args

import click

from flows.cli_release import AS_JSON, PROJECT
from flows.terminal import say, watching
from penstock.ci_files import System

PROJECTS = click.argument("projects", nargs=-1)
BASE = click.option(
    "--base", default="", metavar="REV", help="What to compare with; left out, where HEAD left its target."
)


class Stages(click.Group):
    """Commands in the order in which a pipeline runs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Stages)
def ci() -> None:
    """The stages of continuous integration, the same in every CI system.

    PROJECTS left out: those whose YAML has a section `ci`. Each stage keeps what it found in .penstock/ci/.
    """


@ci.command()
def check() -> None:
    """Linters, types and tests of the checkout; every project's YAML and schema; the plan."""
    from flows.ci import check as run

    found = run()
    for one in found.own:
        say(f"  passed  {one.command}, {one.seconds:.1f} s")
    for project in found.projects:
        steps = sum(step.ran for step in project.steps)
        say(f"  passed  configs/{project.project}.yaml" + (f"; {steps} steps would run" if steps else ""))


@ci.command()
@PROJECTS
@BASE
@click.option("--ingest", is_flag=True, help="Take what the source has first, and commit the .dvc file.")
def data(projects: tuple[str, ...], base: str, ingest: bool) -> None:
    """Validate the pinned dataset version, and look for drift from the champion's data."""
    from flows.ci import data as run
    from flows.ci import passing

    with passing(), watching():
        found = run(projects, base, ingest)
    for one in found:
        rows = f"{one.rows:,} rows, {one.invalid:,} invalid"
        say(f"{one.project}: dataset {one.version[:8]}, {rows}, {len(one.files)} files other than the base's")
        say(f"  beside {one.against}: {one.drift}" if one.against else "  nothing to look for drift from")
        for moved in one.moved:
            say(f"    {moved.column or moved.kind}: {moved.reason}")


@ci.command()
@PROJECTS
@BASE
@click.option("--sample", type=click.FloatRange(0, 1, min_open=True), help="Share of the rows; left out, `ci.sample`.")
@click.option("--seed", type=click.IntRange(0), help="Which rows; left out, `ci.seed`.")
def train(projects: tuple[str, ...], base: str, sample: float | None, seed: int | None) -> None:
    """Train on a sample and judge; the candidate never becomes a release."""
    from flows.ci import passing
    from flows.ci import train as run

    with passing(), watching():
        found = run(projects, base, sample or 0, -1 if seed is None else seed)
    for one in found:
        say(f"{one.project}: {len(one.gates)} checks passed, {one.sample:.0%} of the training rows")


@ci.command()
def report() -> None:
    """What the stages found, as Markdown, HTML and JSON; onto the pull request where there is one."""
    from flows.ci import report as run

    paths, posted = run()
    for path in paths:
        say(path)
    say(posted)


@ci.command()
@PROJECTS
@click.option("--deploy", is_flag=True, help="Bring it into production.")
def release(projects: tuple[str, ...], deploy: bool) -> None:
    """Train on every row what this commit says; with --deploy, bring that release into production.

    The same commit makes no second version, so that a job that deploys finds what the one before it made.
    """
    from flows.ci import release as run

    with watching():
        for one in run(projects, deploy):
            say(str(one))


@ci.command()
@click.option(
    "--for", "systems", multiple=True, type=click.Choice(get_args(System)), help="Only this one; may be given again."
)
@click.option("--force", is_flag=True, help="Also over files that this has not written.")
def generate(systems: tuple[System, ...], force: bool) -> None:
    """Write the files of GitHub Actions, GitLab CI, Jenkins and CircleCI, of one definition."""
    from flows.ci import taking_part
    from tasks.ci.ci_generate import generate as write

    changed = write(systems or get_args(System), taking_part(), force)
    for path in changed:
        say(f"  wrote  {path}")
    if not changed:
        say("Nothing to write: the files are what they would be.")


@click.command("release")
@PROJECT
@click.option("--from-ref", "ref", required=True, metavar="REF", help="A git tag, branch or commit.")
@click.option("--deploy", is_flag=True, help="Bring it into production.")
@click.option("--tag", is_flag=True, help="Once it serves, leave a git tag of its name (flights-v12).")
@AS_JSON
def release_ref(project: str, ref: str, deploy: bool, tag: bool, as_json: bool) -> None:
    """Make a release of what a git REF says, whatever the working tree does.

    Config, schema, pinned data and code are the ref's; how it is rolled out is what the working tree says.
    """
    from flows.release import release as run

    with watching():
        found = run(project, ref, deploy, tag)
    say(found.model_dump_json(indent=1) if as_json else str(found))


COMMANDS = (ci, release_ref)
