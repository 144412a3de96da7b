"""Runs the checkout's own checks: linters, types, tests. What they print goes where this process prints."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

from penstock.ci_found import OwnCheck
from penstock.errors import ConfigError
from penstock.own_checks import Own, own_checks
from tasks.machine.settings import settings


def run_own_checks() -> Iterator[OwnCheck]:
    """Each check as it ends, in order; one that fails keeps none from running. Raises ConfigError if pyproject.toml
    cannot be read."""
    for check in own_checks(_pyproject(), (settings().root / "tests").is_dir()):
        yield _run(check)


def _run(check: Own) -> OwnCheck:
    program = Path(sys.executable).parent / check.command[0]
    begun = time.monotonic()
    command = shlex.join(check.command)
    print(f"$ {command}", file=sys.stderr, flush=True)  # noqa: T201  # what follows is its own output
    try:
        said = subprocess.run([str(program), *check.command[1:]], cwd=settings().root, stdout=sys.stderr, check=False)
    except FileNotFoundError:
        raise ConfigError(
            f"`{check.command[0]}` is configured, and not installed.",
            where="pyproject.toml",
            found=f"no {program}",
            next_step=f"uv add --dev {check.command[0].replace('lint-imports', 'import-linter')}",
        ) from None
    seconds = round(time.monotonic() - begun, 1)
    return OwnCheck(name=check.name, command=command, passed=said.returncode == 0, seconds=seconds)


def _pyproject() -> dict[str, object]:
    path = settings().root / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("pyproject.toml cannot be read.", where=str(path), found=str(error)[:200]) from None
