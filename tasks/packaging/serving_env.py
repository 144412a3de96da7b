"""The environment that model servers run in: small, of its own, installed from hash-pinned requirements.

One folder per requirements file and Python under `<home>/environments`; installed once, then found again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from penstock.errors import ConfigError, PackagingError
from penstock.refs import FileRef, Value
from tasks.machine.settings import settings
from tasks.store import locks, store
from tasks.store.caching import task
from tasks.store.source import CODE

DONE = "complete"


class ServingEnvironment(Value):
    """Where the environment's Python is, and for which requirements it was made (SHA-256)."""

    python: str
    requirements: str

    def __str__(self) -> str:
        return f"requirements {self.requirements[:12]}"


@task(reads=True)
def serving_requirements() -> FileRef:
    """The checkout's `bentos/requirements.txt`, which every Bento made from it carries."""
    path = settings().root / "bentos" / "requirements.txt"
    if not path.is_file():
        path = CODE / "bentos" / "requirements.txt"
    if not path.is_file():
        raise ConfigError(
            "The serving requirements are not there.",
            where=str(path),
            next_step="git checkout -- bentos/requirements.txt, or: uv run python .ci/pins.py",
        )
    return store.put_bytes(path.read_bytes(), "requirements.txt")


@task(cached=False)
def prepare_serving(requirements: FileRef) -> ServingEnvironment:
    """Make sure that the environment is installed. Raises PackagingError with the installer's words if it cannot be."""
    python = serving_python(store.locate(requirements))
    return ServingEnvironment(python=str(python), requirements=requirements.sha256)


def serving_python(requirements: Path) -> Path:
    """The Python of the environment that ``requirements`` describe, installed if it was not."""
    content = requirements.read_bytes()
    version = ".".join(map(str, sys.version_info[:2]))
    name = f"{version}-{hashlib.sha256(content).hexdigest()[:16]}"
    folder = settings().home / "environments" / name
    python = folder / "bin" / "python"
    if (folder / DONE).exists():
        return python
    # the lock is beside it: sandboxes have homes of their own, and share the environments
    with store.readable_errors(folder), locks.exclusive(f"environment-{name}", folder=folder.parent):
        if not (folder / DONE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            _install(folder, requirements)
            store.write_atomic(folder / DONE, b"")
    return python


def _install(folder: Path, requirements: Path) -> None:
    from uv import find_uv_bin

    uv = find_uv_bin()
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "UV_PROJECT"}}
    _run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)], environment)
    install = [uv, "pip", "install", "--quiet", "--no-config", "--compile-bytecode", "--require-hashes"]
    _run([*install, "--python", str(folder / "bin" / "python"), "-r", str(requirements)], environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if said.returncode:
        raise PackagingError(
            "The serving environment could not be installed.",
            where=f"uv {command[1]}",
            found=" ".join((said.stderr or said.stdout).split())[-400:],
            next_step="check the network and the package index, then run the command again; finished steps are kept",
        )
