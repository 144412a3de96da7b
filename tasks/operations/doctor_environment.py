"""Doctor's checks of what Penstock runs on: Python, the platform, installed versions, git, variables, limits."""

from __future__ import annotations

import difflib
import os
import platform
import re
import resource
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from penstock.diagnosis import Finding, fail, ok, shortened, size, warn
from penstock.profile import ALERT
from tasks.data.git import git
from tasks.machine.environments import READ_ELSEWHERE, named_by_projects
from tasks.machine.settings import settings
from tasks.machine.settings import variables as known_variables
from tasks.store import source

GLIBC = (2, 31)
PYTHONS = {"x86_64": ((3, 11), (3, 12)), "aarch64": ((3, 12),)}
# read by somebody else than `Settings`; those of servers and of CI's jobs are set by Penstock itself
OTHERS = (
    "DEBUG",
    "GITLAB_TOKEN",
    "SECRETS",
    "LISTEN",
    "LOG",
    "LOG_DIR",
    "RELEASE",
    "MEMORY_MB",
    "BOOTSTRAP",
    "SERVICE",
    "RUN",
    "ENV_LOADED",
    "CONFIG",
    "DRILL_LEDGER",
    "SIMULATION_LEDGER",
)
OPEN_FILES = 1024
MEMORY = 2e9  # bytes below which training the examples gets tight


def python() -> Iterator[Finding]:
    """Python's version, and the platform that the wheels are for."""
    found = sys.version_info[:2]
    machine, (libc, libc_version) = platform.machine(), platform.libc_ver()
    said = f"Python {platform.python_version()}, {sys.platform} {machine}, {libc or 'no glibc'} {libc_version}".rstrip()
    allowed = PYTHONS.get(machine, ())
    if sys.platform != "linux" or libc != "glibc" or not allowed:
        yield fail("python", said, "use Linux with glibc, x86-64 or aarch64; a container will do (docs/container.md)")
    elif tuple(map(int, libc_version.split(".")[:2])) < GLIBC:
        yield fail("python", said, "use a distribution with glibc 2.31 or newer: Envoy's wheel needs it")
    elif found not in allowed:
        names = " or ".join(f"{major}.{minor}" for major, minor in allowed)
        yield fail(
            "python", said, f"uv python install {names.split(' or ')[-1]} && uv sync; {names} are supported here"
        )
    else:
        yield ok("python", said)


def pins() -> Iterator[Finding]:
    """Installed versions beside the pins of `pyproject.toml`, which every release is made with."""
    path = next(
        (at / "pyproject.toml" for at in (settings().root, source.CODE) if (at / "pyproject.toml").is_file()), None
    )
    if path is None:
        yield warn("pins", "there is no pyproject.toml to compare with", "run doctor in a checkout of Penstock")
        return
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        yield fail("pins", f"{path} cannot be read: {error}", "git checkout -- pyproject.toml")
        return
    pinned = _required(tree.get("tool", {}).get("uv", {}).get("constraint-dependencies", []))
    needed = _required(tree.get("project", {}).get("dependencies", []))
    other, missing = [], []
    for name, specifier in {**needed, **pinned}.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            missing += [name] if name in needed else []  # a pin of a group that is not installed asks for nothing
            continue
        if not specifier.contains(installed, prereleases=True):
            other.append(f"{name} {installed}, not {specifier}")
    if missing:
        yield fail("pins", f"not installed: {shortened(missing)}", "uv sync")
    if other:
        yield warn("pins", f"{len(other)} of other versions than pinned: {shortened(other)}", "uv sync")
    if not pinned:
        yield warn(
            "pins", f"{path} pins nothing: every installation may have other versions", "uv run python .ci/pins.py"
        )
    elif not missing and not other:
        yield ok("pins", f"{len(pinned)} versions are pinned, and what is installed agrees")


def _required(lines: list[str]) -> dict[str, Any]:
    """The specifier of each package that is for this platform, by name."""
    from packaging.requirements import Requirement

    found = [Requirement(line) for line in lines]
    return {one.name: one.specifier for one in found if one.marker is None or one.marker.evaluate()}


def git_repository() -> Iterator[Finding]:
    """Git, and whether the checkout is a repository: `reproduce` takes the code from it."""
    said = git("rev-parse", "--short", "HEAD")
    if said is None:
        yield warn("git", "git is not installed", "install git: without it no release can be made again")
    elif said.returncode:
        yield warn(
            "git",
            said.stderr.strip().removeprefix("fatal: "),
            "git init && git add . && git commit: `penstock reproduce` takes the code of a release from git",
        )
    else:
        dirty = git("status", "--porcelain")
        changed = len(dirty.stdout.splitlines()) if dirty else 0
        yield ok("git", f"at {said.stdout.strip()}" + (f", {changed} files changed or new" if changed else ""))


def variables() -> Iterator[Finding]:
    """Variables that are nearly the name of one that is read, and so do nothing. Their values are not shown."""
    known = {*known_variables(), *READ_ELSEWHERE, *(f"PENSTOCK_{name}" for name in OTHERS)}
    words = sorted(known)
    strange = 0
    for name in sorted(set(os.environ) - known - named_by_projects(settings().root)):
        near = difflib.get_close_matches(name.upper(), words, n=1, cutoff=0.75)
        ours = name.upper().startswith("PENSTOCK_")
        if name.startswith(ALERT) or not (ours or difflib.get_close_matches(name.upper(), words, n=1, cutoff=0.9)):
            continue
        strange += 1
        mend = f"did you mean {near[0]}?" if near else "unset it, or see the README's list of variables"
        yield warn("variables", f"{name} is set, and nothing reads it", mend)
    if not strange:
        mine = sorted(known & set(os.environ))
        yield ok("variables", f"set: {shortened(mine, 6)}" if mine else "none set: everything is as by default")


def limits() -> Iterator[Finding]:
    """Processors, memory and open files that this process may use, by its control group too."""
    memory = min(filter(None, (_cgroup("memory.max", "memory/memory.limit_in_bytes"), psutil.virtual_memory().total)))
    said = f"{settings().cpus} processors"
    quota = _quota()
    if quota and quota < settings().cpus - 0.5:
        yield warn(
            "processors",
            f"{said}, and a quota of {quota:g} of them",
            f"PENSTOCK_THREADS={max(1, int(quota))}: more threads than that only wait",
        )
    else:
        yield ok("processors", said)
    free = psutil.virtual_memory().available
    text = f"{size(memory)}, of which the machine has {size(free)} free"
    if min(memory, free) < MEMORY:
        yield warn("memory", text, "lower `train.memory_budget_mb` and PENSTOCK_WORKERS, or stop what takes the memory")
    else:
        yield ok("memory", text)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES and soft != resource.RLIM_INFINITY:
        yield warn("open files", f"{soft} may be open", f"ulimit -n {min(hard, 4096) if hard > 0 else 4096}")
    else:
        yield ok("open files", f"{soft:,} may be open")


def _cgroup(*names: str) -> int:
    """The first of these limits that is set, in bytes; 0 where none is."""
    for name in names:
        for folder in (_own_cgroup(), Path("/sys/fs/cgroup")):
            try:
                text = (folder / name).read_text().strip()
            except OSError:
                continue
            if text.isdecimal() and int(text) < 1 << 60:
                return int(text)
    return 0


def _quota() -> float:
    """Processors by the control group's quota; 0 where there is none."""
    for folder in (_own_cgroup(), Path("/sys/fs/cgroup")):
        try:
            given, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if given.isdecimal():
            return int(given) / int(period)
    return 0.0


def _own_cgroup() -> Path:
    try:
        found = re.search(r"^0::(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return Path("/sys/fs/cgroup") / (found[1].lstrip("/") if found else "")
