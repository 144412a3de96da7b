"""`environments/NAME.env`: the profile of the environment that `PENSTOCK_ENV` or `--env` names, read once at start.

What it says goes into this process's environment, and so to all that it starts; those do not read it again.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from penstock.errors import ConfigError
from penstock.profile import KIND, NOT_HERE, Line, Profile, profile, taken

FOLDER = "environments"
DEVELOPMENT = "development"
NAME, CONFIRMED, LOADED = "PENSTOCK_ENV", "PENSTOCK_CONFIRM_ENV", "PENSTOCK_ENV_LOADED"
# a process with a home and a purpose of its own, such as a drill, belongs to no environment
OWN = (NAME, CONFIRMED, LOADED, KIND, "PENSTOCK_PROMOTE_FROM")
READ_ELSEWHERE = ("PENSTOCK_API_KEY", "PENSTOCK_LOG_KEY", "PENSTOCK_SQL_PASSWORD")


def enter(root: Path, fields: Collection[str]) -> None:
    """Put what the profile says into `os.environ`; nothing if no environment is named, or a parent has done it.

    ``fields``: the variables that `tasks.machine.settings` reads. Raises ConfigError for a profile that is not there or
    not right, and for variables that contradict it.
    """
    name = os.environ.get(NAME, "")
    if not name or os.environ.get(LOADED, "").split(" ")[0] == name:
        return
    found = read(root, name, fields)
    if found is None:
        return
    values = taken(found, os.environ)
    os.environ.update(values)
    # without what came from other variables: a service's environment is written into a file, and these may be secrets
    open_ = {line.name for line in found.lines if "$" not in line.text} | {KIND}
    os.environ[LOADED] = " ".join([name, *sorted(open_ & values.keys())])


def name_it(name: str) -> None:
    """The person, or the job, names the environment on the very command: that is what production asks for."""
    loaded = os.environ.get(LOADED, "").split(" ")[0]
    if loaded and loaded != name:
        raise ConfigError(
            "A process of one environment cannot act in another.", found=f"--env {name}, started in `{loaded}`"
        )
    os.environ[NAME] = os.environ[CONFIRMED] = name


def current() -> str:
    """The environment's name, "" for development: also where its profile, or the checkout, cannot be read."""
    name = os.environ.get(NAME, "")
    return "" if name == DEVELOPMENT else name


def inherited() -> dict[str, str]:
    """What a service that outlives this process has to find in its environment, to be of the same one."""
    profiled = os.environ.get(LOADED, "").split(" ")[1:]
    return {name: os.environ[name] for name in (NAME, CONFIRMED, LOADED, *profiled) if name in os.environ}


def read(root: Path, name: str, fields: Collection[str]) -> Profile | None:
    """The profile of ``name``; None for development, which needs none. Raises ConfigError."""
    path = root / FOLDER / f"{name}.env"
    shown = f"{FOLDER}/{name}.env"
    if len(name) > 31 or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ConfigError(
            "This is no name of an environment.", where=NAME, found=name, allowed="a-z, 0-9 and single - between them"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if name == DEVELOPMENT:
            return None
        raise _unknown(root, name) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("A profile cannot be read.", where=shown, found=str(error)) from None
    known = {*fields, *READ_ELSEWHERE, *named_by_projects(root)} - set(NOT_HERE)
    return profile(name, shown, list(_lines(text, shown, root)), known)


def names(root: Path) -> list[str]:
    """The environments that have a profile."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.env"))


def named_by_projects(root: Path) -> set[str]:
    """The variables that projects name themselves, for databases and labels; of configs that can be read."""
    found: set[str] = set()
    for path in (root / "configs").glob("*.yaml"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found |= set(re.findall(r"^\s*\w*_env:\s*[\"']?(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return found


def _lines(text: str, shown: str, root: Path) -> Iterator[Line]:
    from io import StringIO

    from dotenv.parser import parse_stream

    for binding in parse_stream(StringIO(text)):
        before = binding.original.string
        number = binding.original.line + before[: len(before) - len(before.lstrip())].count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            raise ConfigError("A line of a profile cannot be read.", where=f"{shown}:{number}", allowed="NAME=value")
        if binding.key is None or binding.value is None:
            continue
        value = binding.value
        if binding.key == "PENSTOCK_HOME" and value and "$" not in value:
            value = str(root / value)  # wherever in the checkout the command is typed
        yield Line(name=binding.key, text=value, number=number)


def _unknown(root: Path, name: str) -> ConfigError:
    there = names(root)
    near = difflib.get_close_matches(name, there, n=1)
    return ConfigError(
        f"There is no environment `{name}`.",
        where=f"{FOLDER}/{name}.env",
        allowed=", ".join(sorted({*there, DEVELOPMENT})),
        next_step=f"did you mean {near[0]}?" if near else "write its profile: docs/environments.md",
    )
