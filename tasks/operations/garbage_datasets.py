"""DVC's cache: dataset files of versions that nothing names, and that the remote has byte for byte.

DVC's own `gc` keeps what the working tree or git names, knows no ledger, and trusts the remote. Here a version stays
if the working tree, any commit, or any record of the home names it; what goes is hashed in the remote first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tasks.data.dvc_config import cache_folder, remote_url
from tasks.data.git import git
from tasks.machine.settings import settings
from tasks.operations.garbage_classes import Item, Sought
from tasks.store import store

NAME = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
KIND = "dataset files"


def dataset_files(asked: Sought) -> Iterator[Item]:
    """Call it after the store was looked at: what its records name is in ``asked.datasets``."""
    cache, remote = cache_folder(), _remote()
    shared = not cache.is_relative_to(settings().root)
    needed, whole = _needed(cache, remote, asked.datasets)
    for path in sorted(cache.glob("[0-9a-f][0-9a-f]/*")):
        oid = path.parent.name + path.name
        if len(oid.removesuffix(".dir")) != 32:
            continue
        if oid in needed or oid.removesuffix(".dir") in needed:
            why = "a dataset version needs it"
        elif shared:
            why = "the cache is outside of the checkout: others may use it"
        elif not whole:
            why = "the list of files of some version is in neither cache nor remote"
        elif path.stat().st_mtime > asked.young:
            why = "not old enough"
        elif remote is None:
            why = "the remote is no folder, so that what it has cannot be hashed here"
        else:
            why = "" if _same(remote / path.parent.name / path.name, oid) else "the remote does not have it"
        size = path.stat().st_size if path.stat().st_nlink == 1 else 0  # of a hard link, nothing is freed
        yield Item(KIND, str(path), size, why, partial(path.unlink, missing_ok=True))


def _needed(cache: Path, remote: Path | None, named: set[str]) -> tuple[set[str], bool]:
    """(every object that a version which is named anywhere consists of, whether all of their lists could be read)."""
    words = set(named)
    tracked = sorted((settings().root).glob("*.dvc")) + sorted((settings().root / "data").glob("**/*.dvc"))
    for path in (found for found in tracked if found.is_file()):  # `.dvc` itself is a folder
        words |= set(NAME.findall(path.read_text(encoding="utf-8", errors="replace")))
    history = git("log", "--all", "-p", "--format=", "--", "*.dvc")
    if history is not None and history.returncode == 0:
        words |= set(NAME.findall(history.stdout))
    needed, whole = set(words), True
    for word in words:
        lists = [folder / word[:2] / f"{word[2:]}.dir" for folder in (cache, remote) if folder is not None]
        found = next((path for path in lists if path.is_file()), None)
        try:
            needed |= {str(entry["md5"]) for entry in json.loads(found.read_bytes())} if found else set()
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
    return needed, whole


def _remote() -> Path | None:
    """Where a remote that is a folder keeps its objects."""
    url = remote_url()
    path = Path(url) / "files" / "md5"
    return path if url and "://" not in url and path.is_dir() else None


def _same(path: Path, oid: str) -> bool:
    try:
        return store.digest(path, "md5") == oid.removesuffix(".dir")
    except OSError:
        return False
