"""Container images that `penstock image` built here, of releases that need not be ready at once.

Only what the ledger names by its hash is looked at, and nothing is forced: an image that a container uses stays.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial

from penstock.garbage import moment
from penstock.ledger import Event
from tasks.operations.garbage_classes import Item, Sought

KIND = "container images"
SECONDS = 20.0


def images(asked: Sought) -> Iterator[Item]:
    """Images of this machine that the ledger's events `containerized` name."""
    stay = asked.stay()
    for backend, image, event in _built(asked):
        size = _size(backend, image)
        if size is None:  # removed already, or built on another machine
            continue
        why = stay.get(event.version, "") or ("" if moment(event) < asked.young else "not old enough")
        why = why or ("a container uses it" if _used(backend, image) else "")
        yield Item(KIND, image, size, why, partial(_asked, backend, "rmi", image))


def _built(asked: Sought) -> Iterator[tuple[str, str, Event]]:
    found: dict[tuple[str, str], Event] = {}
    for events in asked.events.values():
        for event in events:
            if event.kind == "containerized" and event.facts.get("image"):
                found[event.facts.get("backend", ""), event.facts["image"]] = event  # the newest word on it
    for (backend, image), event in found.items():
        if backend and shutil.which(backend):
            yield backend, image, event


def _size(backend: str, image: str) -> int | None:
    """Bytes, or None where there is no such image. buildah does not say how large one is."""
    if backend == "buildah":
        return None if _asked(backend, "inspect", "--type", "image", image) is None else 0
    said = _asked(backend, "image", "inspect", "--format", "{{.Size}}", image)
    return int(said) if said and said.isdecimal() else None


def _used(backend: str, image: str) -> bool:
    runner = "docker" if backend == "docker" else "podman"
    return bool(_asked(runner, "ps", "--all", "--quiet", "--filter", f"ancestor={image}"))


def _asked(backend: str, *words: str) -> str | None:
    """What the backend says, or None where it refuses or does not answer."""
    try:
        said = subprocess.run([backend, *words], capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() if said.returncode == 0 else None
