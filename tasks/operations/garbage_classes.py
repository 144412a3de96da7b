"""The classes of things that `penstock gc` looks at in the home, each with what goes and why the rest stays."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from penstock import ledger
from penstock.desired import Desired
from penstock.errors import PenstockError
from penstock.garbage import protected, superseded
from penstock.ledger import Event
from tasks.machine.settings import settings
from tasks.monitoring.collected_store import newest_windows, segment_path
from tasks.operations import leftovers
from tasks.operations.garbage_marks import mark, rebuildable, records, stored
from tasks.platform import programs, supervision
from tasks.registry import ledger_store
from tasks.registry.registry import recorded_candidate, release_of
from tasks.serving import serving
from tasks.store import locks, store
from tasks.store.source import CODE

GRACE = 86_400.0  # seconds that everything is kept, whatever is asked for: somebody may be about to name it


@dataclass(frozen=True)
class Item:
    """One thing: ``why`` it stays, or "" for what goes. ``remove`` frees it; it may be called twice."""

    kind: str
    name: str
    size: int
    why: str = ""
    remove: Callable[[], object] = lambda: None


@dataclass
class Sought:
    """What is asked for, and what all classes go by. ``now``, ``before``: seconds since 1970."""

    keep: int
    now: float
    before: float
    events: dict[str, list[Event]]
    desired: Desired
    datasets: set[str] = field(default_factory=set)  # MD5 that records name, once the store was looked at

    @property
    def young(self) -> float:
        return min(self.before, self.now - GRACE)

    def stay(self) -> dict[str, str]:
        """Every version that has to be ready at once, and why."""
        return {
            version: why
            for events in self.events.values()
            for version, why in protected(events, self.desired, self.keep).items()
        }


def sought(keep: int, older_than: float, now: float) -> Sought:
    """Raises StorageError if a ledger or the desired state cannot be read: then nothing can be told."""
    names = sorted(path.name for path in settings().ledger.glob("*") if path.is_dir())
    events = {name: ledger_store.read_all(name) for name in names}
    return Sought(keep=keep, now=now, before=now - older_than, events=events, desired=serving.read())


def results(asked: Sought) -> Iterator[Item]:
    """Remembered results of steps: those of each project's last run stay, and the young ones."""
    last = _last_keys()
    for path in sorted(settings().cache.glob("*")):
        if path.name == "last":
            continue
        if path.is_dir():  # the trials of searches that were not ended
            for folder in sorted(found for found in path.iterdir() if found.is_dir()):
                yield _item("remembered results", folder, _age_why(_newest(folder), asked), remove=_tree(folder))
            continue
        why = "of the last run of a project" if path.name in last else _age_why(path.stat().st_mtime, asked)
        yield _item("remembered results", path, why)


def segments(asked: Sought) -> Iterator[Item]:
    """The prediction log: closed segments and scored files that a window has taken."""
    for project in sorted(path.name for path in settings().predictions.glob("*") if path.is_dir()):
        taken = {segment_path(project, segment) for window in newest_windows(project) for segment in window.segments}
        for path in sorted((settings().predictions / project).glob("*/*")):
            if path.suffix == ".open":
                why = "being written"
            elif path not in taken:
                why = "monitoring has not counted it yet"
            else:
                why = _age_why(path.stat().st_mtime, asked)
            yield _item("prediction log", path, why)


def objects(asked: Sought, going: list[Item]) -> Iterator[Item]:
    """Files of the store that no record names, once what is ``going`` is gone."""
    gone = {Path(item.name) for item in going}
    cache = [path for path in settings().cache.glob("*") if path.is_file()]
    old = [
        event
        for events in asked.events.values()
        for event in superseded(events, asked.desired, asked.keep, asked.young)
    ]
    marks = mark([path for path in (*records(), *cache) if path not in gone], rebuildable(old))
    asked.datasets |= marks.datasets
    for sha256, path in sorted(stored().items()):
        if sha256 in marks.objects:
            why = "a record names it"
        else:
            why = "younger than a day" if path.lstat().st_mtime > asked.now - GRACE else ""
        yield _item("store", path, why)


def bentos(asked: Sought) -> Iterator[Item]:
    """Unpacked copies of packages: made again from the store when they are needed."""
    stay = asked.stay()
    packaged = {one.package.digest[:12]: (one.package.digest, version) for one, version in _releases(asked)}
    for path in sorted((settings().home / "bentos").glob("*-*")):
        if path.name.startswith("tmp") or not path.is_dir():
            continue
        digest, version = packaged.get(path.name.rpartition("-")[2], ("", ""))
        why = stay.get(version, "") or ("a process runs from it" if _runs_from(path) else "")
        why = why or ("used in the last day" if path.stat().st_mtime > asked.now - GRACE else "")
        yield _item("unpacked packages", path, why, remove=_bento(path, digest, asked.now))


def environments(asked: Sought) -> Iterator[Item]:
    """Serving environments that no release and not this checkout asks for."""
    root = settings().home / "environments"
    if root.is_symlink():  # another home's
        return
    needed = {_digest(path.read_bytes()) for path in _requirements()}
    for candidate, _ in _releases(asked):
        # as it is here: what only a shared store has is not fetched for this, and may be gone there
        needed |= _required(store.path_of(candidate.package.bento))
    for path in sorted(path for path in root.glob("*-*") if path.is_dir()):
        why = "a release is served with it" if path.name.rpartition("-")[2] in needed else ""
        why = why or ("a process runs from it" if _runs_from(path) else "") or _age_why(path.stat().st_mtime, asked)
        yield _item("serving environments", path, why, remove=_tree(path))


def logs(asked: Sought) -> Iterator[Item]:
    """Logs of programs that are no more."""
    known = {path.stem for path in programs.folder().glob("*.conf")} | {"supervisord", "gateway-errors"}
    for path in sorted(supervision.logs().glob("*.log*")):
        why = "of a program that runs" if path.name.partition(".log")[0] in known else ""
        yield _item("logs", path, why or _age_why(path.stat().st_mtime, asked))


def drafts(asked: Sought) -> Iterator[Item]:
    """Half-written files of processes that have ended."""
    for found in leftovers.half_written(asked.now - GRACE):
        remove = _tree(found.path) if found.path.is_dir() else partial(found.path.unlink, missing_ok=True)
        yield Item("half-written files", str(found.path), found.size, remove=remove)


def _last_keys() -> set[str]:
    keys = set()
    for path in settings().cache.glob("last/*/*.json"):
        try:
            keys.add(str(json.loads(path.read_bytes())["key"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return keys


def _releases(asked: Sought) -> Iterator[tuple[Any, str]]:
    """Every candidate that was packaged, and its version."""
    for events in asked.events.values():
        for event in events:
            if event.kind in ledger.MAKES:
                try:
                    candidate = recorded_candidate.fn(release_of(event))
                except PenstockError:
                    continue
                if candidate.package is not None:
                    yield candidate, event.version


def _requirements() -> list[Path]:
    """Those of the checkout, of Penstock, and of packages that are unpacked here."""
    ours = [root / "bentos" / "requirements.txt" for root in (settings().root, CODE)]
    return [
        *(path for path in ours if path.is_file()),
        *(settings().home / "bentos").glob("*-*/src/requirements.txt"),
    ]


def _required(tar: Path) -> set[str]:
    """The requirements that a package carries; none if it is not there."""
    try:
        with tarfile.open(tar) as archive:
            names = [one for one in archive.getmembers() if one.name.endswith("src/requirements.txt")]
            return {_digest(content.read()) for one in names if (content := archive.extractfile(one))}
    except (OSError, tarfile.TarError):
        return set()


def _digest(content: bytes) -> str:
    """As `tasks.packaging.serving_env` names an environment."""
    return hashlib.sha256(content).hexdigest()[:16]


def _runs_from(folder: Path) -> bool:
    """Whether a process was started from the folder, or with a file of it."""
    for process in psutil.process_iter():
        try:
            if any(word.startswith(str(folder)) for word in process.cmdline()):
                return True
        except psutil.Error:
            continue
    return False


def _age_why(modified: float, asked: Sought) -> str:
    return "" if modified < asked.young else "not old enough"


def _newest(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def _item(kind: str, path: Path, why: str, remove: Callable[[], object] | None = None) -> Item:
    return Item(kind, str(path), weight(path), why, remove or partial(path.unlink, missing_ok=True))


def weight(path: Path) -> int:
    """Bytes of a file or of all files of a folder."""
    files = (
        [path] if path.is_symlink() or not path.is_dir() else [each for each in path.rglob("*") if not each.is_dir()]
    )
    return sum(each.lstat().st_size for each in files)


def _tree(folder: Path) -> Callable[[], None]:
    def remove() -> None:
        # what says that it is whole goes first: of a folder that is half gone, nobody thinks that it is there
        (folder / "complete").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    return remove


def _bento(folder: Path, digest: str, now: float) -> Callable[[], None]:
    """Away with a folder that nobody has used meanwhile, at once; then with its files."""

    def remove() -> None:
        draft = folder.with_name(f"tmp-{folder.name}")
        with locks.exclusive(f"bento-{digest}"):  # whoever takes the folder into use holds it, and then it is young
            if not folder.is_dir() or folder.stat().st_mtime > now - GRACE:
                return
            folder.rename(draft)
        shutil.rmtree(draft, ignore_errors=True)

    return remove
