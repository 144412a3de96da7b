"""The option `--env`, which every command has: in which environment it acts, and that production is meant."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

# Commands that write, all but `gc` and `rollback`, which can also only look. What changes what serves asks again, from
# wherever it is called; here, nothing has been started for it yet.
NAMED = frozenset({
    "run", "ingest", "train", "deploy", "bless", "approve", "reject", "resume", "label", "score", "monitor",
    "release", "deploy-flows", "up", "down",
})  # fmt: skip
KEY = "penstock.environment"


def environment_option(command: click.Command) -> None:
    """Give ``command`` the option, and its commands if it is a group. Parsing changes nothing; running enters it."""
    option = click.Option(
        ["--env"], metavar="NAME", expose_value=False, callback=_kept,
        help="The environment to act in: environments/NAME.env.",
    )  # fmt: skip
    command.params.append(option)
    if isinstance(command, click.Group):
        for part in command.commands.values():
            environment_option(part)
    elif command.callback:
        command.callback = _entering(command.callback)


def _kept(context: click.Context, _parameter: click.Parameter, name: str | None) -> None:
    if name is not None:
        context.meta[KEY] = name


def _entering(run: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(run)
    def entered(*arguments: Any, **options: Any) -> Any:
        context = click.get_current_context()
        name, verb = context.meta.get(KEY), str(context.info_name)
        if name is not None:
            from tasks.machine.environments import name_it
            from tasks.machine.settings import settings

            name_it(name)
            settings.cache_clear()
        if verb in NAMED:
            from tasks.machine.production import require_named

            require_named(verb)
        return run(*arguments, **options)

    return entered
