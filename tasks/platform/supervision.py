"""One supervisord per checkout, which keeps services alive after the command that started them has ended.

Programs are files under `<home>/supervisor/conf.d`; supervisord is asked over its Unix socket (mode 0600).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, ServerProxy

import psutil

from penstock.errors import PlatformError
from tasks.machine.settings import settings
from tasks.platform import programs, sockets
from tasks.platform.programs import OWNER, RUN, Program, escaped
from tasks.store.store import write_atomic

SOCKET = "supervisor.sock"
SILENT = (OSError, HTTPException, Error)  # what asking supervisord raises when it is not there, or says no
# what is set for a single command; a service that inherited it would log nothing, compile everything anew, or listen
# somewhere else than at the socket it is given
# the last two: by them a CI runner finds what a job has left running, and ends it
NOT_INHERITED = (
    "PYTHONDONTWRITEBYTECODE", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PENSTOCK_LISTEN", "RUNNER_TRACKING_ID",
    "JENKINS_NODE_COOKIE",
)  # fmt: skip
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


def ensure(starting: Callable[[], None] = lambda: None) -> None:
    """Start supervisord if it is not there. The caller holds the lock `platform`.

    ``starting`` is called before it starts: `run_id()` is then the one that it will have.
    """
    if running():
        return
    lost = _lost()
    _end(lost, asked=lost[:1])
    logs().mkdir(parents=True, exist_ok=True)
    socket = sockets.prepare() / SOCKET
    conf = _folder() / "supervisord.conf"
    text = CONF.format(socket=escaped(str(socket)), folder=escaped(str(_folder())), logs=escaped(str(logs())))
    write_atomic(conf, text.encode())
    run = secrets.token_hex(4)
    write_atomic(_folder() / "run", run.encode())
    starting()
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED} | {RUN: run}
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


def run_id() -> str:
    """A word for this start of supervisord, part of the name of every socket it listens on for others."""
    try:
        return (_folder() / "run").read_text()
    except OSError:
        return ""


def running() -> bool:
    try:
        return str(_rpc().getState()["statename"]) == "RUNNING"
    except SILENT:
        return False


def add(*wanted: Program, starting: Callable[[], None] = lambda: None) -> None:
    """Run programs, and replace those that are to run otherwise. The caller holds the lock `platform`.

    Starts supervisord if need be, and then with the programs' files already there: each is started once, the right way.
    """
    for program in wanted:
        programs.write(program)
    ensure(starting)
    with _readable_errors(", ".join(program.name for program in wanted)):
        rpc = _update()
        for found in list(processes().values()):
            ours = found["group"] in {program.name for program in wanted}
            if ours and found["statename"] in ("STOPPED", "EXITED", "FATAL"):
                rpc.startProcess(f"{found['group']}:{found['name']}", False)


def remove(name: str) -> None:
    """Stop a program for good: its processes finish what they are answering."""
    programs.file(name).unlink(missing_ok=True)
    if running():
        with _readable_errors(name):
            _update()


def _update() -> Any:
    """Make what runs what the files say, as `supervisorctl update` does."""
    rpc = _rpc()
    added, changed, removed = rpc.reloadConfig()[0]
    for group in (*changed, *removed):
        rpc.stopProcessGroup(group)
        rpc.removeProcessGroup(group)
    for group in (*added, *changed):
        rpc.addProcessGroup(group)
    return rpc


def has(name: str) -> bool:
    """Whether the program is one that supervisord keeps alive, or would once it is started."""
    return programs.file(name).is_file()


def processes() -> dict[str, dict[str, Any]]:
    """What supervisord says of each program; empty when it does not run."""
    try:
        return {str(found["name"]): found for found in _rpc().getAllProcessInfo()}
    except SILENT:
        return {}


def group(name: str) -> list[dict[str, Any]]:
    """What supervisord says of each process of a group; empty when it knows none, or does not run."""
    return [found for found in processes().values() if found["group"] == name]


def groups() -> set[str]:
    return {str(found["group"]) for found in processes().values()}


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
    _end(everything, asked=everything[:1])
    end_orphans()
    for path in programs.folder().glob("*.conf"):
        path.unlink(missing_ok=True)
    sockets.remove()


def end_orphans() -> None:
    """End what went on when a supervisord was killed. Its successors run already, or nothing is to run any more."""
    try:
        current = int(_rpc().getPID())
    except SILENT:
        current = 0
    lost = [process for process in psutil.process_iter() if _is_orphan(process, current)]
    _end(lost, asked=lost)


def listeners(ports: set[int]) -> list[psutil.Process]:
    """Who listens on one of these ports, as far as this user may know."""
    found = []
    for each in psutil.net_connections("tcp4"):  # once: asked of each process, it is read anew for each
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port in ports and each.pid:
            with contextlib.suppress(psutil.Error):
                found.append(psutil.Process(each.pid))
    return found


def _is_orphan(process: psutil.Process, supervisor: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return is_ours(process) and supervisor not in {parent.pid for parent in process.parents()}
    return False


def is_ours(process: psutil.Process) -> bool:
    """Whether the process is one of this home that outlives supervisord."""
    with contextlib.suppress(psutil.Error):  # ended meanwhile, or somebody else's
        return process.environ().get(OWNER) == str(settings().home)
    return False


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


def _end(processes: list[psutil.Process], asked: list[psutil.Process]) -> None:
    """Wait until all are gone. Some are ``asked`` to end, and end the others; who has not within 40 s is killed."""
    for process in asked:
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


def _socket() -> Path:
    return sockets.folder() / SOCKET
