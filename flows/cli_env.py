"""The option `--env`, which every command has: in which environment it acts."""

from __future__ import annotations

from typing import Any

import click

from flows.terminal import readable_errors


def _named(_context: click.Context, _parameter: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    from tasks.environments import name_it
    from tasks.settings import settings

    with readable_errors():
        name_it(name)
    settings.cache_clear()


def environment_option(command: Any) -> Any:
    """``command`` with the option, and its commands if it is a group."""
    option = click.Option(
        ["--env"], metavar="NAME", is_eager=True, expose_value=False, callback=_named,
        help="The environment to act in: environments/NAME.env.",
    )  # fmt: skip
    command.params.append(option)
    for part in getattr(command, "commands", {}).values():
        environment_option(part)
    return command
