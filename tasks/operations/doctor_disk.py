"""Doctor's checks of files: room for a run, who may use them, what killed processes left, datasets in the cache."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml

from penstock import ledger
from penstock.diagnosis import Finding, fail, ok, shortened, size, warn
from tasks.data.dvc_config import cache_folder, cached, remote_url
from tasks.machine.settings import settings
from tasks.operations import leftovers as left
from tasks.platform import sockets
from tasks.registry import ledger_store, registry
from tasks.registry.registry import recorded_candidate
from tasks.store.caching import file_refs

LEAST = 500e6  # bytes that a first run takes beside its data: a serving environment, a Bento, databases
INODES = 10_000
NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "afs")


def space() -> Iterator[Finding]:
    """Free bytes beside what a run of the largest project takes, in each place that a run writes to."""
    need = max([LEAST, *(_taken(path) for path in dvc_files())])
    places = {"home": settings().home, "DVC cache": cache_folder(), "temporary folder": Path(tempfile.gettempdir())}
    seen: dict[int, str] = {}
    for name, path in places.items():
        there = existing(path)
        device = there.stat().st_dev
        if device in seen:
            continue
        seen[device] = name
        free = shutil.disk_usage(there).free
        said = f"{name}: {size(free)} free in {there}; a run takes about {size(need)}"
        mend = "penstock gc, or free some space" if name != "temporary folder" else "set TMPDIR to a folder with room"
        nodes = os.statvfs(there)
        if free < need:
            yield fail("disk", said, mend)
        elif free < 2 * need:
            yield warn("disk", said, mend)
        elif nodes.f_files and nodes.f_favail < INODES:
            yield warn("disk", f"{name}: only {nodes.f_favail:,} more files fit", mend)
        else:
            yield ok("disk", said)


def permissions() -> Iterator[Finding]:
    """Whether the home can be written and is ours, its sockets are ours alone, and its file system knows locks."""
    home = settings().home
    there = existing(home)
    wrong = 0
    folders = [path for path in (there, settings().store, settings().cache, settings().ledger) if path.exists()]
    for path in (path for path in folders if not os.access(path, os.W_OK | os.X_OK)):
        wrong += 1
        yield fail("files", f"{path} cannot be written", "mend its owner and mode, or set PENSTOCK_HOME")
    for path in folders:
        if path.stat().st_uid != os.getuid() and os.getuid():
            wrong += 1
            yield warn("files", f"{path} belongs to another user", "run Penstock as that user, or set PENSTOCK_HOME")
    folder = sockets.folder()
    for path in [folder, *folder.glob("*.sock")] if folder.is_dir() else []:
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & 0o077:
            wrong += 1
            right = "700" if path == folder else "600"
            yield fail("files", f"{path} is open to others: mode {mode:o}", f"chmod {right} {path}")
    kind = _file_system(there)
    if kind.startswith(NETWORK):
        wrong += 1
        yield warn(
            "files",
            f"the home is on a network file system ({kind})",
            "set PENSTOCK_HOME to a local folder: locks and SQLite need one",
        )
    if not wrong:
        yield ok("files", f"{there} can be written" + (", its sockets are ours alone" if folder.is_dir() else ""))


def leftovers() -> Iterator[Finding]:
    """Half-written files and locks of processes that have ended. Penstock's own locks end with their holder."""
    files = left.half_written(time.time() - left.ENDED)
    if files:
        total = sum(found.size for found in files)
        yield warn("leftovers", f"{len(files)} half-written files, {size(total)}", "penstock gc --yes")
    dead = _dvc_holders()
    if dead:
        yield warn("leftovers", f"DVC's lock names processes that have ended: {shortened(dead)}", f"rm {_rwlock()}")
    if not files and not dead:
        held = _held_locks()
        yield ok("leftovers", "none" + (f"; {held} locks are held: something runs" if held else ""))


def datasets() -> Iterator[Finding]:
    """Whether the files of every dataset version in the working tree are in DVC's cache; and on which file system."""
    paths = dvc_files()
    missing = []
    for path in paths:
        lacking, total = _lacking(path)
        name = path.relative_to(settings().root).with_suffix("")
        if lacking:
            missing.append(str(name))
            said = (
                f"{name}: {lacking} of {total} files are not in the cache"
                if total
                else f"{name}: its list is not in the cache"
            )
            url = remote_url()
            yield warn(
                "datasets", said, f"the next run fetches them from {url}" if url else "name a remote: PENSTOCK_REMOTE"
            )
    if not missing:
        yield ok("datasets", f"{len(paths)} tracked, all of their files are in the cache" if paths else "none yet")
    cache, data = existing(cache_folder()), existing(settings().root / "data")
    if cache.stat().st_dev != data.stat().st_dev:
        yield warn(
            "dvc cache",
            f"{cache} and {data} are on different file systems: DVC copies every file",
            "set `cache.dir` in .dvc/config to a folder beside data/",
        )
    else:
        yield ok("dvc cache", "on the same file system as data/")


def existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that is there."""
    return next(found for found in (path, *path.parents) if found.exists())


def dvc_files() -> list[Path]:
    """One for each dataset of the working tree."""
    return sorted((settings().root / "data").glob("**/*.dvc"))


def _taken(path: Path) -> float:
    """Bytes that a run of the project with this dataset writes: what its last one did, or some times its data."""
    try:
        data = int(yaml.safe_load(path.read_text())["outs"][0]["size"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, yaml.YAMLError):
        data = 0
    try:
        last = next(one for one in reversed(ledger_store.read_all(path.stem)) if one.kind in ledger.JUDGED)
        refs = {ref.sha256: ref.size for ref in file_refs(recorded_candidate.fn(registry.release_of(last)))}
    except Exception:  # noqa: BLE001  # none yet, or damaged: what is wrong with it is another check's
        return LEAST + 4 * data
    return data + sum(refs.values()) + 0.2 * LEAST


def _lacking(path: Path) -> tuple[int, int]:
    """(how many files of a dataset the cache lacks, of how many); (1, 0) where it lacks the list of them."""
    try:
        version = str(yaml.safe_load(path.read_text())["outs"][0]["md5"])
        listed = json.loads(cached(version).read_bytes()) if version.endswith(".dir") else [{"md5": version}]
        wanted = {str(one["md5"]) for one in listed}
    except (OSError, ValueError, KeyError, IndexError, TypeError, yaml.YAMLError):
        return 1, 0
    return sum(not cached(oid).is_file() for oid in wanted), len(wanted)


def _file_system(path: Path) -> str:
    """The kind of file system that holds ``path``; "" where that cannot be told."""
    mounts = {Path(found.mountpoint): found.fstype for found in psutil.disk_partitions(all=True)}
    return next((mounts[at] for at in (path, *path.parents) if at in mounts), "")


def _held_locks() -> int:
    """How many of Penstock's locks are held, as the kernel lists them: trying one would take it for a moment."""
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return 0
    held = {line.split()[5].rpartition(":")[2] for line in lines if "FLOCK" in line and "->" not in line}
    return sum(str(path.stat().st_ino) in held for path in settings().locks.glob("*.lock"))


def _rwlock() -> Path:
    return settings().root / ".dvc" / "tmp" / "rwlock"


def _dvc_holders() -> list[str]:
    """Processes that DVC's lock file names and that are no more, with what they were."""
    try:
        entries = json.loads(_rwlock().read_bytes()).values()
    except (OSError, ValueError, AttributeError):
        return []
    found = []
    for entry in entries:
        write, read = entry.get("write"), entry.get("read", [])
        found += [info for info in ([write] if write else []) + list(read) if not psutil.pid_exists(int(info["pid"]))]
    return sorted({f"{info['pid']} ({info.get('cmd', '')[:40]})" for info in found})
