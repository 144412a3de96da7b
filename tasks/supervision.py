"""One supervisord per checkout, which keeps services alive after the command that started them has ended.

Programs are files under `<home>/supervisor/conf.d`; supervisord is asked over its Unix socket (mode 0600).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, ServerProxy

import psutil

from penstock.errors import PlatformError
from tasks.mortal import MORTAL
from tasks.settings import settings
from tasks.store import write_atomic

LONGEST_SOCKET = 100  # bytes: a Unix socket's path may have 107
SILENT = (OSError, HTTPException, Error)  # what asking supervisord raises when it is not there, or says no
# what Penstock sets for its own command; a service that inherited it would log nothing, or compile everything anew
NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL")
CONF = """\
[unix_http_server]
file={socket}
chmod=0600

[supervisord]
pidfile={folder}/supervisord.pid
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
directory={folder}
umask=077

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files={folder}/conf.d/*.conf
"""
PROGRAM = """\
[program:{name}]
command={command}
directory={directory}
environment={environment}
autostart=true
autorestart=true
startsecs=2
startretries=10
stopsignal=TERM
stopwaitsecs=20
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


def ensure() -> None:
    """Start supervisord if it is not there. The caller holds the lock `platform`."""
    if running():
        return
    _end(_lost())
    logs().mkdir(parents=True, exist_ok=True)
    socket = _new_socket()
    conf = _folder() / "supervisord.conf"
    text = CONF.format(socket=_escaped(str(socket)), folder=_escaped(str(_folder())), logs=_escaped(str(logs())))
    write_atomic(conf, text.encode())
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    said = subprocess.run(  # returns when it has become a daemon
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    end = time.monotonic() + 20
    while not running():
        if said.returncode or time.monotonic() > end:
            raise PlatformError(
                "supervisord did not start.",
                where=str(logs() / "supervisord.log"),
                found=(said.stderr or said.stdout).strip()[-300:] or "no answer on its socket",
                next_step="penstock down, then run the command again",
            )
        time.sleep(0.05)


def running() -> bool:
    try:
        return str(_rpc().getState()["statename"]) == "RUNNING"
    except SILENT:
        return False


def add(name: str, command: list[str], environment: dict[str, str], directory: Path) -> None:
    """Run a program, or replace it if it is to run otherwise. The caller holds the lock `platform`.

    Starts supervisord if need be, and then with the program's file already there: it is started once, the right way.
    """
    text = PROGRAM.format(
        name=name,
        command=_escaped(" ".join(map(_quoted, [*MORTAL, *command]))),
        directory=_escaped(str(directory)),
        environment=",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(environment.items())),
        log=_escaped(str(logs() / f"{name}.log")),
    )
    path = _program(name)
    if not path.is_file() or path.read_text() != text:
        write_atomic(path, text.encode())
    ensure()
    with _readable_errors(name):
        rpc = _rpc()
        added, changed, removed = rpc.reloadConfig()[0]
        for group in (*changed, *removed):
            rpc.stopProcessGroup(group)
            rpc.removeProcessGroup(group)
        for group in (*added, *changed):
            rpc.addProcessGroup(group)
        if processes().get(name, {}).get("statename") in ("STOPPED", "EXITED", "FATAL"):
            rpc.startProcess(name, False)


def has(name: str) -> bool:
    """Whether the program is one that supervisord keeps alive, or would once it is started."""
    return _program(name).is_file()


def processes() -> dict[str, dict[str, Any]]:
    """What supervisord says of each program; empty when it does not run."""
    try:
        return {str(found["name"]): found for found in _rpc().getAllProcessInfo()}
    except SILENT:
        return {}


def stop() -> None:
    """Stop everything, and supervisord itself, and wait until they are gone.

    The programs' files go too: what is started next is what is asked for then, not all that ever ran.
    """
    try:
        process = psutil.Process(int(_rpc().getPID()))
        everything = [process, *process.children(recursive=True)]
        _rpc().shutdown()
    except (*SILENT, psutil.Error):
        everything = _lost()
    _end(everything)
    for path in _folder().glob("conf.d/*.conf"):
        path.unlink(missing_ok=True)
    socket = _socket()
    if socket.parent != _folder():
        with contextlib.suppress(OSError):
            socket.unlink(missing_ok=True)
            socket.parent.rmdir()
    (_folder() / "socket").unlink(missing_ok=True)


def halt(name: str) -> None:
    """Stop a program that only ends again and again. It stays known: who asks for it next starts it."""
    with contextlib.suppress(*SILENT):
        _rpc().stopProcess(name)


def last_words(name: str, lines: int = 40) -> str:
    """The last error that a program's log tells of, or else the log's last lines."""
    path = logs() / f"{name}.log"
    if not path.is_file():
        return ""
    end = [line.strip() for line in path.read_text(errors="replace").splitlines()[-lines:] if line.strip()]
    errors = [line for line in end if re.match(r"[\w.]*(Error|Exception)\b.*: ", line)]
    return " | ".join(errors[-1:] or end[-3:])[-500:]


def logs() -> Path:
    return settings().home / "logs"


def _lost() -> list[psutil.Process]:
    """A supervisord of this home that does not answer, with its children: somebody has cleaned out its socket."""
    try:
        process = psutil.Process(int((_folder() / "supervisord.pid").read_text()))
        if str(_folder() / "supervisord.conf") not in process.cmdline():
            return []  # after a reboot the number may be anybody's
        return [process, *process.children(recursive=True)]
    except (OSError, ValueError, psutil.Error):
        return []


def _end(processes: list[psutil.Process]) -> None:
    """Wait until all are gone. The first is asked to end and ends the others; who does not within 40 s is killed."""
    for process in processes[:1]:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=40)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=5)


@contextlib.contextmanager
def _readable_errors(name: str) -> Iterator[None]:
    try:
        yield
    except SILENT as error:
        raise PlatformError(
            f"supervisord did not start {name}.",
            where=str(logs() / "supervisord.log"),
            found=str(error),
            next_step="penstock down, then run the command again",
        ) from error


def _rpc() -> Any:
    from supervisor.xmlrpc import SupervisorTransport

    return ServerProxy("http://127.0.0.1", SupervisorTransport(None, None, f"unix://{_socket()}")).supervisor


def _folder() -> Path:
    return settings().home / "supervisor"


def _program(name: str) -> Path:
    return _folder() / "conf.d" / f"{name}.conf"


def _socket() -> Path:
    """Where supervisord's socket is. A short one is written down: another shell may have another TMPDIR."""
    try:
        return Path((_folder() / "socket").read_text())
    except OSError:
        return _folder() / "supervisor.sock"


def _new_socket() -> Path:
    """Where the socket of a new supervisord goes: beside its state, or into a short folder if that path is too long."""
    path = _folder() / "supervisor.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
        (_folder() / "socket").unlink(missing_ok=True)
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or folder.is_symlink():
        raise PlatformError(
            "The folder for supervisord's socket is not ours alone.",
            where=str(folder),
            next_step="remove it, or set PENSTOCK_HOME to a shorter path",
        )
    write_atomic(_folder() / "socket", os.fsencode(folder / "supervisor.sock"))
    return folder / "supervisor.sock"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"' if any(sign in text for sign in " '\"\\;#") else text
