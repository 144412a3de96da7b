"""Which files of the store are needed: a conservative mark from every record of the home.

A record is needed, and with it whatever it names. Names are SHA-256 in hexadecimal, so a record is read as bytes and
every such word counts, in stored JSON too: a new kind of record needs no code here, and what is unknown is kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from penstock.candidate import Candidate
from penstock.errors import PenstockError
from penstock.ledger import Event
from tasks.machine.settings import settings
from tasks.registry.registry import recorded_candidate, release_of
from tasks.store.caching import file_refs

SHA256 = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
MD5 = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
# what holds no records: objects, copies of them (MLflow has the records themselves), logs, other programs' own files;
# and the cache, of which the caller says what stays
NOT_READ = {
    "store",
    "cache",
    "locks",
    "logs",
    "bentos",
    "environments",
    "runs",
    "remote",
    "prefect",
    "sockets",
    "mlflow",
}
RECORDS = (".json", ".batch", "")


class Marks:
    """What is needed. ``objects``: SHA-256 of files of the store; ``datasets``: MD5 of DVC's, as far as named here."""

    def __init__(self) -> None:
        self.objects: set[str] = set()
        self.datasets: set[str] = set()


def mark(paths: Iterable[Path], left_out: dict[str, set[str]]) -> Marks:
    """What these records name, and what those name in turn.

    ``left_out``: by the SHA-256 of a stored record, what that one alone does not keep. Raises OSError if a record
    cannot be read: then nothing is known.
    """
    found = Marks()
    waiting: list[str] = []
    for path in paths:
        _note(path.name.encode() + b"\n" + path.read_bytes(), set(), found, waiting)
    objects = stored()
    while waiting:
        sha256 = waiting.pop()
        if sha256 in found.objects:
            continue
        found.objects.add(sha256)
        object_path = objects.get(sha256)
        if object_path is not None and object_path.suffix == ".json":
            _note(object_path.read_bytes(), left_out.get(sha256, set()), found, waiting)
    return found


def stored() -> dict[str, Path]:
    """Every file of the store, by its SHA-256."""
    folder = settings().store
    return {path.stem: path for path in folder.glob("[0-9a-f][0-9a-f]/*") if len(path.stem) == 64}


def rebuildable(events: Iterable[Event]) -> dict[str, set[str]]:
    """By record: the training and validation rows of these candidates, which are made again from the dataset version.

    Nobody reads them but training. Whatever else a record names (models, metrics, predictions, test rows, packages) is
    what it is explained, compared, deployed and made again with.
    """
    found: dict[str, set[str]] = {}
    for event in events:
        try:
            candidate = recorded_candidate.fn(release_of(event))
        except PenstockError:
            continue  # of a record that cannot be read, nothing is left out
        splits = candidate.splits
        rows = {splits.train.sha256, splits.validation.sha256}
        others = [getattr(candidate, name) for name in Candidate.model_fields if name != "splits"]
        others += [splits.test, splits.categories, splits.summary]
        found[event.record.sha256] = rows - {ref.sha256 for ref in file_refs(others)}
    return found


def _note(content: bytes, left_out: set[str], found: Marks, waiting: list[str]) -> None:
    waiting += [name for name in map(bytes.decode, SHA256.findall(content)) if name not in left_out]
    found.datasets |= set(map(bytes.decode, MD5.findall(content)))


def records() -> Iterator[Path]:
    """Every small file of the home that may name others, but the cache's."""
    home = settings().home
    for top in sorted(home.iterdir()) if home.is_dir() else []:
        if top.name in NOT_READ or top.is_symlink():
            continue
        for folder, _, names in os.walk(top):
            yield from (Path(folder, name) for name in names if Path(name).suffix in RECORDS)
