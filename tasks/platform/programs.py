"""Supervisor's program files: `<home>/supervisor/conf.d/<name>.conf`, one for each group of processes."""

from __future__ import annotations

from pathlib import Path

from penstock.refs import Value
from tasks.machine.mortal import MORTAL
from tasks.machine.settings import settings
from tasks.store.store import write_atomic

OWNER = "PENSTOCK_SERVICE"  # in a process's environment: the home it belongs to
RUN = "PENSTOCK_RUN"  # in supervisord's environment: which start of it this is

PROGRAM = """\
[{kind}:{name}]
command={command}
directory={directory}
environment={environment}
{socket}process_name={process}
numprocs={count}
autostart=true
autorestart=true
startsecs={startsecs}
startretries=10
stopsignal=TERM
stopwaitsecs={stopwait}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


SOCKET = """\
socket=unix://{path}
socket_mode=0600
socket_backlog=1024
"""


class Program(Value):
    """A group of ``count`` equal processes, kept alive.

    ``socket``: the Unix socket that supervisord listens on and hands to all of them as file descriptor 0. `{run}` in it
    or in the command is another word each time supervisord starts: what went on without it keeps its own sockets.
    ``outlives``: it goes on when supervisord is killed, and is replaced, not interrupted, by the next one.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    directory: Path
    socket: str = ""
    count: int = 1
    outlives: bool = False
    startsecs: int = 2
    stopwait: int = 20

    def text(self) -> str:
        command = self.command if self.outlives else (*MORTAL, *self.command)
        words = _expanded(" ".join(_quoted(escaped(word)) for word in command))
        environment = self.environment | ({OWNER: str(settings().home)} if self.outlives else {})
        return PROGRAM.format(
            kind="fcgi-program" if self.socket else "program",
            name=self.name,
            command=words,
            directory=escaped(str(self.directory)),
            environment=",".join(f"{key}={_marked(escaped(value))}" for key, value in sorted(environment.items())),
            socket=SOCKET.format(path=_expanded(escaped(self.socket))) if self.socket else "",
            process="%(program_name)s_%(process_num)d" if self.count > 1 else "%(program_name)s",
            count=self.count,
            startsecs=self.startsecs,
            stopwait=self.stopwait,
            log=escaped(str(settings().home / "logs" / f"{self.name}.log")),
        )


def write(program: Program) -> None:
    """Write the program's file, if it is not there just so."""
    if not is_written(program):
        write_atomic(file(program.name), program.text().encode())


def is_written(program: Program) -> bool:
    path = file(program.name)
    return path.is_file() and path.read_text() == program.text()


def file(name: str) -> Path:
    return folder() / f"{name}.conf"


def folder() -> Path:
    return settings().home / "supervisor" / "conf.d"


def escaped(text: str) -> str:
    return text.replace("%", "%%")


def _expanded(text: str) -> str:
    return text.replace("{run}", f"%(ENV_{RUN})s")


def _marked(text: str) -> str:
    """A value of `environment` in quotes. Supervisor knows no escapes: it may hold one kind of quote, not both."""
    return f"'{text}'" if '"' in text else f'"{text}"'


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"' if any(sign in text for sign in " '\"\\;#") else text
