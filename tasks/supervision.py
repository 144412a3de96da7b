"""One supervisord per checkout, which keeps services alive after the command that started them has ended.

Programs are files under `<home>/supervisor/conf.d`; supervisord is asked over its Unix socket (mode 0600).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil

from penstock.errors import PlatformError
from tasks.settings import settings
from tasks.store import write_atomic

MORTAL = [sys.executable, str(Path(__file__).with_name("exec_child.py"))]  # before a command: it ends with its parent
LONGEST_SOCKET = 100  # bytes: a Unix socket's path may have 107
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
    _folder().joinpath("conf.d").mkdir(parents=True, exist_ok=True)
    logs().mkdir(parents=True, exist_ok=True)
    conf = _folder() / "supervisord.conf"
    text = CONF.format(socket=_escaped(str(_socket())), folder=_escaped(str(_folder())), logs=_escaped(str(logs())))
    write_atomic(conf, text.encode())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
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
    except (OSError, Fault):
        return False


def add(name: str, command: list[str], environment: dict[str, str], directory: Path) -> None:
    """Run a program, or replace it if it is to run otherwise. The caller holds the lock `platform`."""
    text = PROGRAM.format(
        name=name,
        command=_escaped(" ".join(map(_quoted, [*MORTAL, *command]))),
        directory=_escaped(str(directory)),
        environment=",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(environment.items())),
        log=_escaped(str(logs() / f"{name}.log")),
    )
    path = _folder() / "conf.d" / f"{name}.conf"
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
    rpc = _rpc()
    added, changed, removed = rpc.reloadConfig()[0]
    for group in (*changed, *removed):
        rpc.stopProcessGroup(group)
        rpc.removeProcessGroup(group)
    for group in (*added, *changed):
        rpc.addProcessGroup(group)
    if processes().get(name, {}).get("statename") in ("STOPPED", "EXITED", "FATAL"):
        rpc.startProcess(name, False)


def processes() -> dict[str, dict[str, Any]]:
    """What supervisord says of each program; empty when it does not run."""
    try:
        return {str(found["name"]): found for found in _rpc().getAllProcessInfo()}
    except (OSError, Fault):
        return {}


def stop() -> None:
    """Stop everything, and supervisord itself, and wait until they are gone."""
    try:
        pid = int(_rpc().getPID())
        children = psutil.Process(pid).children(recursive=True)
        _rpc().shutdown()
    except (OSError, Fault, psutil.Error):
        return
    everything = [psutil.Process(pid)] if psutil.pid_exists(pid) else []
    _, alive = psutil.wait_procs([*everything, *children], timeout=40)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)


def last_words(name: str, lines: int = 3) -> str:
    """The end of a program's log."""
    path = logs() / f"{name}.log"
    if not path.is_file():
        return ""
    return " | ".join(path.read_text(errors="replace").strip().splitlines()[-lines:])[-500:]


def logs() -> Path:
    return settings().home / "logs"


def _rpc() -> Any:
    from supervisor.xmlrpc import SupervisorTransport

    return ServerProxy("http://127.0.0.1", SupervisorTransport(None, None, f"unix://{_socket()}")).supervisor


def _folder() -> Path:
    return settings().home / "supervisor"


def _socket() -> Path:
    path = _folder() / "supervisor.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
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
    return folder / "supervisor.sock"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"' if any(sign in text for sign in " '\"\\;#") else text
