"""Production has to be named: by `--env production` of the command, not by a variable that a shell has kept."""

from __future__ import annotations

from penstock.errors import ConfigError
from tasks.machine.environments import CONFIRMED, NAME
from tasks.machine.settings import settings


def require_named(verb: str) -> None:
    """Raise ConfigError if ``verb`` would act in production, and nobody has said that this is meant."""
    found = settings()
    if found.env_kind != "production" or found.confirm_env == found.env:
        return
    raise ConfigError(
        f"`{verb}` would act in `{found.env}`, and this command does not name it.",
        where=f"{NAME}={found.env}, in the environment of this process",
        allowed=f"--env {found.env} on the command itself; in a job that nobody types, {CONFIRMED}={found.env}",
        next_step=f"penstock {verb} ... --env {found.env}; or unset {NAME}",
    )
