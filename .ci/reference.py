"""Writes the reference pages that the code itself tells: `uv run python .ci/reference.py`.

docs/cli.md from the command line's own help, docs/python.md from the flows' signatures and docstrings,
docs/environment.md from the settings, docs/exit-codes.md from the errors.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from pathlib import Path

import click

from flows.cli import main as penstock
from penstock import errors
from tasks.machine.settings import Settings

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "This page is made by `.ci/reference.py`."
WIDTH = 100
FLOWS = ("run", "ingest", "train", "deploy", "rollback", "score", "label", "monitor", "reproduce")
CALLS = (
    ("new", "new"), ("plan", "plan_run"), ("plan", "nothing_to_do"), ("status", "status"), ("history", "history"),
    ("history", "served_at"), ("compare", "compare"), ("compare", "explain_gate"), ("serve", "serving"),
    ("image", "image"), ("drill", "drill"), ("simulate", "simulate"),
)  # fmt: skip
OTHERS = {
    "PENSTOCK_API_KEY": "What clients have to send. Not set: anybody on this machine may ask.",
    "PENSTOCK_LOG_KEY": "The secret of fields that the prediction log keeps as a hash (`serve.log.hash`).",
    "PENSTOCK_SQL_PASSWORD": "The password of a database whose URL comes without one.",
    "PENSTOCK_ALERT_<NAME>": "The address of the channel NAME, see [alerts.md](alerts.md).",
    "PENSTOCK_DEBUG": "`1`: an error also shows its traceback.",
    "PREFECT_API_URL": "A Prefect server to use; without it the checkout starts one of its own, on demand.",
}  # fmt: skip
CODES = {
    0: "All is well; also when there was nothing to do.",
    1: "Something unforeseen. Please report it.",
    2: "The command line is wrong, or: the project's YAML, its schema file or a setting is.",
    130: "Interrupted (Ctrl-C). What was finished is kept.",
    141: "The reader of the output went away, as in `penstock history flights \\| head -1`.",
    143: "Ended by SIGTERM.",
}


def pages() -> dict[str, str]:
    return {"cli.md": cli(), "python.md": python(), "environment.md": environment(), "exit-codes.md": exit_codes()}


def cli() -> str:
    parts = [f"# The command line\n\nWhat `--help` prints of each command. {MADE}\n"]
    parts.append(_help(penstock, click.Context(penstock, info_name="penstock", **_wide(penstock))))
    for name, command in penstock.commands.items():
        parent = click.Context(penstock, info_name="penstock", **_wide(penstock))
        parts.append(f"## penstock {name}\n")
        parts.append(_help(command, click.Context(command, info_name=name, parent=parent)))
    return "\n".join(parts)


def _wide(command: click.Command) -> dict[str, object]:
    return {**command.context_settings, "terminal_width": WIDTH}


def _help(command: click.Command, context: click.Context) -> str:
    lines = command.get_help(context).replace("\b", "").splitlines()
    return "```text\n" + "\n".join(line.rstrip() for line in lines) + "\n```\n"


def python() -> str:
    parts = [
        "# The flows, from Python\n",
        f"Each command is a function, called in a checkout. Errors are those of `penstock/errors.py`. {MADE}\n",
        '```python\nfrom flows.train import train\n\noutcome = train("configs/flights.yaml")\n'
        "print(outcome.release.version, outcome.release.verdict)\n```\n",
        "## Flows\n",
        "These are Prefect flows: a call is a flow run, with its tasks, log and artifacts in the Prefect UI. The\n"
        "first call starts the checkout's own server, unless `PREFECT_API_URL` names one.\n",
    ]
    parts += [_function(name, name, 3) for name in FLOWS]
    parts += ["## Functions\n", "These run without Prefect.\n"]
    parts += [_function(module, name, 3) for module, name in CALLS]
    return "\n".join(parts)


def _function(module: str, name: str, level: int) -> str:
    found = getattr(importlib.import_module(f"flows.{module}"), name)
    called = inspect.unwrap(getattr(found, "fn", found))  # the function of a flow, whether Prefect is loaded or not
    signature = str(inspect.signature(called)).replace("'", '"')
    text = _unquoted(f"{name}{signature}")
    if len(text) > WIDTH:
        inner, _, returned = text[len(name) + 1 :].rpartition(") -> ")
        text = f"{name}(\n    " + ",\n    ".join(_arguments(inner)) + f",\n) -> {returned}"
    doc = inspect.cleandoc(called.__doc__ or "").replace("``", "`")
    return f"{'#' * level} {name}\n\n```python\nfrom flows.{module} import {name}\n\n{text}\n```\n\n{doc}\n"


def _unquoted(text: str) -> str:
    """Annotations are strings, because modules import `annotations`; a reader wants them bare. Defaults stay."""
    return re.sub(r'(: |-> )"([^"]+)"', r"\1\2", text)


def _arguments(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]


def environment() -> str:
    rows = ["| variable | what | default |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in ("", Path(), None) else f"`{field.default}`"
        variable = field.validation_alias or f"PENSTOCK_{name.upper()}"
        rows.append(f"| `{variable}` | {field.description} | {default} |")
    rows += [f"| `{name}` | {text} | |" for name, text in OTHERS.items()]
    return (
        "# Environment variables\n\nWhere things are, and secrets. What changes a model is in the project's YAML, never"
        f" here. {MADE}\n\n" + "\n".join(rows) + "\n\nThe variables of a single server process, as in a container,"
        " are in [service.md](service.md#the-environment-of-a-server-process).\n"
    )


def exit_codes() -> str:
    codes = dict(CODES)
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.PenstockError) and kind.exit_code not in codes:
            codes[kind.exit_code] = f"{(kind.__doc__ or '').strip().splitlines()[0]}"
    rows = [f"| {code} | {_named(code)} | {text} |" for code, text in sorted(codes.items())]
    return (
        f"# Exit codes\n\nAlike for every command, and meant for scripts. {MADE}\n\n"
        "| code | error in Python | what happened |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n\nEvery error is text on stderr: what happened, where, what was found, what is allowed, and what to type"
        " next. Commands that a\nscript would call have `--json`: their result is then one JSON value on stdout.\n"
    )


def _named(code: int) -> str:
    names = [kind.__name__ for kind in vars(errors).values()
             if isinstance(kind, type) and issubclass(kind, errors.PenstockError) and kind.exit_code == code
             and kind is not errors.PenstockError]  # fmt: skip
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    os.environ.setdefault("PENSTOCK_ROOT", str(DOCS.parent))
    for page, text in pages().items():
        (DOCS / page).write_text(text)
        sys.stdout.write(f"{page} written\n")
