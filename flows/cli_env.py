"""The option `--env`, which every command has: in which environment it acts, and that production is meant."""

from __future__ import annotations

from typing import Any

import click

from flows.terminal import readable_errors

# Commands that write, all but `gc` and `rollback`, which can also only look. What changes what serves asks again, from
# wherever it is called; here, nothing has been started for it yet.
NAMED = frozenset({
    "run", "ingest", "train", "deploy", "bless", "approve", "reject", "resume", "label", "score", "monitor",
    "deploy-flows", "up", "down",
})  # fmt: skip


def _entered(context: click.Context, _parameter: click.Parameter, name: str | None) -> None:
    verb = str(context.info_name)
    if name is None and verb not in NAMED:
        return
    from tasks.environments import name_it
    from tasks.production import require_named
    from tasks.settings import settings

    with readable_errors():
        if name is not None:
            name_it(name)
            settings.cache_clear()
        if verb in NAMED:
            require_named(verb)


def environment_option(command: Any) -> Any:
    """``command`` with the option, and its commands if it is a group."""
    option = click.Option(
        ["--env"], metavar="NAME", is_eager=True, expose_value=False, callback=_entered,
        help="The environment to act in: environments/NAME.env.",
    )  # fmt: skip
    command.params.append(option)
    for part in getattr(command, "commands", {}).values():
        environment_option(part)
    return command
