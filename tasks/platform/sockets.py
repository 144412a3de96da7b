"""Where a checkout's Unix sockets are: a folder that is ours alone, with a path short enough for one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile
from pathlib import Path

from penstock.errors import PlatformError
from tasks.machine.settings import settings
from tasks.store.store import write_atomic

LONGEST = 107  # bytes that a Unix socket's path may have
NAME = 70  # bytes of the longest name: a project's 48, its version's number, a word for the start, `.sock`


def folder() -> Path:
    """The folder, as it was prepared. A short one is written down: another shell may have another TMPDIR."""
    try:
        return Path(os.fsdecode(_pointer().read_bytes()))
    except OSError:
        return _beside()


def prepare() -> Path:
    """Make the folder: in the home, or under the temporary folder if the home's path is too long.

    Raises PlatformError if somebody else could use it.
    """
    path = _beside()
    if len(os.fsencode(path)) + 1 + NAME <= LONGEST:
        _pointer().unlink(missing_ok=True)
    else:
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
        path = folder()
        if path == _beside() or not path.is_dir():
            path = Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{name}"
            write_atomic(_pointer(), os.fsencode(path))
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or path.is_symlink():
        raise PlatformError(
            "The folder for sockets is not ours alone.",
            where=str(path),
            next_step="remove it, or set PENSTOCK_HOME to a shorter path",
        )
    return path


def listening(path: Path) -> bool:
    """Whether anybody listens on the Unix socket."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe, contextlib.suppress(OSError):
        probe.settimeout(1)
        probe.connect(str(path))
        return True
    return False


def remove_others(run: str) -> None:
    """Remove the sockets of releases and gateways that are from an earlier start of supervisord."""
    for path in folder().glob("*.*.sock"):
        if not path.name.endswith(f".{run}.sock"):
            path.unlink(missing_ok=True)


def remove() -> None:
    """Remove the folder and what is in it. Whoever listened there has ended."""
    path = folder()
    for found in path.glob("*.sock"):
        found.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.rmdir()
    _pointer().unlink(missing_ok=True)


def _beside() -> Path:
    return settings().home / "sockets"


def _pointer() -> Path:
    return settings().home / "sockets-at"
