"""What a worker of the cluster does with one piece of work: looks whether it may, does it, and lets others see it.

Runs in the worker's process, under the worker's own settings (`PENSTOCK_HOME`, `PENSTOCK_STORE`).
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

from penstock.errors import ClusterError, StorageError
from penstock.refs import FileRef, Value
from tasks.machine.settings import settings
from tasks.store import store
from tasks.store.caching import file_refs
from tasks.store.source import closure

LIBRARIES = ("distributed", "numpy", "pandera", "polars", "pyarrow", "whylogs", "xgboost")


class Made(Value):
    """What equal results depend on: Python, the libraries' versions, and a hash of our own code."""

    python: str
    libraries: dict[str, str]
    code: str


class Asked(Value):
    """What a worker has to be like to do a piece, and where whoever asks keeps files: in words, for errors."""

    made: Made
    files: str


def do(function: Callable[[Any], Any], item: Any, asked: Asked) -> Any:
    """``function(item)``, once this process has been found to be like the one that asks, and to see every file.

    Raises ClusterError when it is not, or does not; whatever ``function`` raises.
    """
    see(function.__module__, item, asked)
    result = function(item)
    publish(result)
    return result


def publish(result: Any) -> None:
    """Let others see the files that were made here, where a store is shared."""
    if settings().shared:
        from tasks.store import shared

        shared.publish(file_refs(result))


def see(module: str, item: Any, asked: Asked) -> None:
    """Raise ClusterError unless this process is as is asked, for ``module``, and sees every file of ``item``."""
    differ = differences(asked.made, made(module))
    if differ:
        raise ClusterError(
            "A worker of the cluster is not what asks it for work: its results would not be the same.",
            where=f"worker {worker()}",
            found="; ".join(differ),
            next_step="install the same versions and the same commit of Penstock there, and start the worker again",
        )
    for ref in file_refs(item):
        _see(ref, asked.files)


@functools.lru_cache
def made(module: str) -> Made:
    """Of this process. Once for each module: a process that goes on has the code that it began with."""
    return Made(
        python=".".join(map(str, sys.version_info[:2])),
        libraries={name: _version(name) for name in LIBRARIES},
        code=hashlib.sha256(json.dumps(closure(module), sort_keys=True).encode()).hexdigest()[:12],
    )


def asked(module: str) -> Asked:
    return Asked(made=made(module), files=files())


def files() -> str:
    """Where this process keeps files, as the setting that says so."""
    return f"PENSTOCK_STORE={settings().shared}" if settings().shared else f"PENSTOCK_HOME={settings().home}"


def threads() -> int:
    """How many one piece may use: a worker does as many pieces at once as it has threads."""
    return settings().threads or 1


def worker() -> str:
    from distributed import get_worker

    return str(get_worker().address)


def _see(ref: FileRef, theirs: str) -> None:
    why = "it is not there"
    try:
        if store.locate(ref).stat().st_size == ref.size:
            return
        why = "it is of another size"
    except FileNotFoundError:
        pass
    except StorageError as error:
        why = error.what
    raise ClusterError(
        "A worker of the cluster does not see a file that it needs.",
        where=f"worker {worker()}, with {files()}",
        found=f"{ref}: {why}",
        next_step=f"start the worker with {theirs}, or, on a file system that both see, with the same PENSTOCK_HOME",
    )


def differences(here: Made, there: Made) -> list[str]:
    """In what a worker ``there`` is another than who asks it ``here``, in words."""
    libraries = [(name, version, there.libraries.get(name, "none")) for name, version in here.libraries.items()]
    pairs = [("Python", here.python, there.python), *libraries, ("Penstock's code", here.code, there.code)]
    return [f"{name} {theirs} there, {ours} here" for name, ours, theirs in pairs if ours != theirs]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
