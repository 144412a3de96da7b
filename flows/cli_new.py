"""`penstock new`: from a table to a project. A part of `penstock`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from flows.cli_release import AS_JSON
from flows.terminal import say
from penstock.gate_text import LEAST_JUDGED
from penstock.project_text import TEST

if TYPE_CHECKING:
    from flows.new import NewProject

SHOWN = 60  # columns that are printed; the files have all
ORDER = ("target", "time", "group", "numeric", "categorical", "leak", "id", "left out")


@click.command()
@click.argument("name")
@click.argument("source")
@click.option("--target", required=True, metavar="COLUMN", help="The column to predict.")
@click.option("--task", type=click.Choice(["binary", "multiclass", "regression"]), help="If it is not what it seems.")
@click.option("--query", default="", metavar="SELECT", help="What to read, where SOURCE is a database.")
@click.option("--watermark", default="", metavar="COLUMN", help="A column of the query that only grows.")
@click.option("--force", is_flag=True, help="Write the files anew, though the project exists.")
@AS_JSON
def new(name: str, source: str, target: str, task: Any, query: str, watermark: str, force: bool, as_json: bool) -> None:
    """Make a project of a table: look at it, infer types, task, leaks and gates.

    Writes configs/NAME.yaml, its schema and the deployments.

    SOURCE is a file, a glob in quotes or a URL (CSV, Parquet, JSON lines, Arrow; gzip or zstd of these);
    module:function; or, with --query, a database: env:VARIABLE, block:NAME, or a URL without a password.

    \b
    penstock new churn customers.csv --target churned
    penstock new churn 'exports/*.csv.gz' --target churned
    penstock new churn env:SHOP_URL --query "SELECT * FROM customers" --watermark updated_at --target churned
    """
    from flows.new import new as make

    made = make(name, source, target, task=task, query=query, watermark=watermark, force=force)
    say(json.dumps(as_dict(made), indent=1) if as_json else as_text(made))


def as_dict(made: NewProject) -> dict[str, Any]:
    return {
        "project": made.name,
        "task": made.found.target.task,
        "rows": made.counts.rows,
        "invalid": made.counts.invalid,
        "split": made.split_by,
        "baseline": _measured(made),
        "columns": [
            {"name": each.name, "there": each.there, "type": each.values.dtype, "role": each.role, "why": each.why,
             "check": each.check}
            for each in made.found.columns
        ],
        "warnings": warnings(made),
        "written": made.written,
    }  # fmt: skip


def as_text(made: NewProject) -> str:
    """A table of the columns, what to check, and what to do next."""
    found = made.found
    columns = sorted(found.columns, key=lambda column: ORDER.index(column.role))
    rows = [("column", "type", "role", "why")]
    rows += [(each.name, each.values.dtype.partition("(")[0], each.role, each.why) for each in columns[:SHOWN]]
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    lines = [f"  {'  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))}  {row[3]}"
             for row in rows]  # fmt: skip
    if len(columns) > SHOWN:
        lines.append(f"  ... and {len(columns) - SHOWN} more columns, in the schema")
    counted = "" if made.counts.whole else " (the first ones; more were not read)"
    base = made.base
    said = "none could be made"
    if base is not None:
        said = f"{base.headline} {base.of(base.headline):.3f} [{base.low:.3f}, ...], {base.how}"
    return "\n".join([
        f"{made.name}: {found.target.task}, {made.counts.rows:,} rows{counted}, {made.counts.invalid:,} set aside",
        "",
        *lines,
        "",
        f"read as:   {_how(made)}",
        f"split:     {_split(made.split_by)}",
        f"baseline:  {said}",
        *_listed("check:", warnings(made)),
        *_listed("written:", made.written),
        f"next:      read configs/{made.name}.yaml, then: penstock plan {made.name}; penstock run {made.name}",
    ])  # fmt: skip


def warnings(made: NewProject) -> list[str]:
    """What a person should look at, the gravest first."""
    found = made.found
    by_role: dict[str, list[str]] = {role: [] for role in ORDER}
    for column in found.columns:
        if column.check:
            by_role[column.role].append(f"{column.name}: {column.check}")
    said = [*by_role["target"], *(f"{each} ({why})" for each, why in _leaks(made)), *by_role["time"], *by_role["group"],
            *by_role["numeric"], *by_role["categorical"], *by_role["id"], *by_role["left out"]]  # fmt: skip
    if made.counts.rows * TEST < LEAST_JUDGED:
        said.append(f"of {made.counts.rows:,} rows about {made.counts.rows * TEST:.0f} would judge a model, which is "
                    f"chance: the gate lets nothing pass before there are {LEAST_JUDGED / TEST:.0f}")  # fmt: skip
    if made.split_by != found.split_by:
        said.append(f"not split by {found.split_by}, because a part would lack a class: it may be worse on rows that "
                    f"come later, or of another group, than its test rows say")  # fmt: skip
    if made.base is None or not made.base.learns:
        said.append("the quick model was no better than guessing: its gate stops little")
    if made.counts.share > 0.01:
        said.append(f"{made.counts.share:.1%} of the rows cannot be read or have no target, and will be set aside")
    if found.ignored:
        said.append(f"not read: {', '.join(f'{name} ({why})' for name, why in found.ignored.items())}")
    return said


def _measured(made: NewProject) -> dict[str, Any] | None:
    base = made.base
    if base is None:
        return None
    return {"metric": base.headline, "value": base.of(base.headline), "low": base.low, "guessing": base.naive}


def _split(split_by: str) -> str:
    return {"stratified": "at random, stratified", "random": "at random"}.get(split_by, f"by {split_by}")


def _leaks(made: NewProject) -> list[tuple[str, str]]:
    return [(f"{each.name} is left out as a leak: {each.why}", each.check) for each in made.found.columns
            if each.role == "leak"]  # fmt: skip


def _how(made: NewProject) -> str:
    source = made.found.source
    if source.call or source.sql:
        return "rows of a function" if source.call else "rows of a query"
    parts = [str(source.format)]
    if source.format == "csv":
        named = {"\t": "tab", " ": "space"}.get(source.separator, source.separator)
        parts += [f"separator {named}", source.encoding, "with a header" if source.header else "without a header"]
    if source.missing:
        parts.append(f"missing: {', '.join(source.missing)}")
    if source.decimal == "," or source.thousands:
        parts.append(f"numbers like 1{source.thousands or ''}234{source.decimal}5")
    return ", ".join(parts)


def _listed(head: str, items: list[str]) -> list[str]:
    return [f"{head if place == 0 else '':<11}{item}" for place, item in enumerate(items)]
