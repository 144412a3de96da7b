"""Doctor's check of the environment: which it is, what its profile sets, and what it lacks. No secret is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator

from penstock.diagnosis import Finding, ok, shortened, warn
from penstock.profile_advice import lacking, shown
from tasks.machine import environments
from tasks.machine.settings import settings, variables

CHECK = "environment"


def profile() -> Iterator[Finding]:
    """The environment that is in force, its profile line by line, and what one of its kind should have."""
    name, there = settings().env, environments.names(settings().root)
    found = environments.read(settings().root, name, variables()) if name else None
    if found is None:
        others = [each for each in there if each != name]
        known = f"; --env takes {shortened(others, 6)}" if others else ""
        yield ok(CHECK, f"{name or environments.DEVELOPMENT}, without a profile{known}")
        return
    yield ok(CHECK, f"{found.name}, of kind {found.kind}, by {found.path}")
    for line in found.lines:
        yield ok(CHECK, shown(line, os.environ))
    for lack in lacking(found, there):
        yield warn(CHECK, f"{lack.name}: {lack.why}", f"write into {found.path}: {lack.mend}")
