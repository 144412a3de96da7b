"""Which checks a checkout has of its own, by what its pyproject.toml configures. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.refs import Value


class Own(Value):
    """A check that is run as ``command``: a program of the environment, and its arguments."""

    name: str
    command: tuple[str, ...]


def own_checks(pyproject: Mapping[str, Any], has_tests: bool) -> tuple[Own, ...]:
    """ruff, mypy and import-linter where they are configured, pytest where it is or where there is a folder `tests`."""
    tool = pyproject.get("tool", {})
    checks = []
    if "ruff" in tool:
        checks.append(Own(name="format", command=("ruff", "format", "--check", ".")))
        checks.append(Own(name="lint", command=("ruff", "check", ".")))
    if "mypy" in tool:
        checks.append(Own(name="types", command=("mypy", *(() if "files" in tool["mypy"] else (".",)))))
    if "importlinter" in tool:
        checks.append(Own(name="imports", command=("lint-imports",)))
    if "pytest" in tool or has_tests:
        checks.append(Own(name="tests", command=("pytest",)))
    return tuple(checks)
