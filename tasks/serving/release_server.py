"""The processes of a release that serve behind the gateway: how they are started, and asked over their own socket.

Two processes share one Unix socket, which supervisord listens on: when one dies, the other goes on answering. Only
this user can reach the socket; the gateway is the way in for everybody else.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from penstock.desired import Server
from penstock.errors import ConfigError, PackagingError
from tasks.machine.settings import settings
from tasks.packaging.model_server import OF_MACHINE, api_key, bentoml_environment, unpacked
from tasks.packaging.serving_env import serving_python
from tasks.platform import sockets, supervision
from tasks.platform.programs import OWNER, Program
from tasks.serving.envoy import SILENT, UnixConnection
from tasks.store import store

READY_SECONDS = 60.0
BESIDE = Path(__file__).parent
STARTS = 3  # a server that needed so many will not come up
LOG_KEY = "PENSTOCK_LOG_KEY"
# what supervisord was started with has secrets: databases', alerts', clouds'. A model server runs a project's own
# functions, and gets of it what it needs; which, says the head of bentos/launch.py
FOR_MODELS = (
    *OF_MACHINE, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_DEFAULT_MEMORY_POOL", "PENSTOCK_API_KEY", LOG_KEY,
)  # fmt: skip


def program(server: Server) -> Program:
    """The group of processes that serves a release, with its Bento unpacked and its environment installed."""
    if server.log.enabled and server.log.hash and not os.environ.get(LOG_KEY):
        raise ConfigError(
            "Fields of the prediction log are to be hashed, and there is no key to hash them with.",
            where="serve.log.hash",
            found=", ".join(server.log.hash),
            next_step=f"put a secret into the environment variable {LOG_KEY}, or drop the fields: `serve.log.drop`",
        )
    bento = unpacked(server.package)
    python = serving_python(bento / "src" / "requirements.txt")
    state = example_file(server.version).parent
    for folder in (state / "metrics", log_folder(server.project, server.version)):
        with store.readable_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    launcher, extra = bento / "src" / "bentos" / "launch.py", server.fault or server.clock
    if extra:
        launcher = BESIDE / ("faulty_launch.py" if server.fault else "simulated_launch.py")
    environment = {
        **bentoml_environment(state),
        "PENSTOCK_RELEASE": server.version,
        "PENSTOCK_MEMORY_MB": str(server.memory_mb),
    }
    if server.log.enabled:
        environment["PENSTOCK_LOG_DIR"] = str(log_folder(server.project, server.version))
        environment["PENSTOCK_LOG"] = server.log.model_dump_json().replace("'", "\\u0027")
    seen = ",".join(sorted({*FOR_MODELS, OWNER, *environment}))
    alone = (sys.executable, "-I", "-S", str(BESIDE / "exec_with.py"), seen)
    return Program(
        name=server.version,
        command=(*alone, str(python), "-I", str(launcher), str(bento), *filter(None, (extra,))),
        environment=environment,
        directory=state,
        socket=str(sockets.folder() / f"{server.version}.{{run}}.sock"),
        count=server.workers,
        outlives=True,
        stopwait=35,  # a little longer than a server lets running requests finish
    )


def socket_of(version: str) -> Path:
    return sockets.folder() / f"{version}.{supervision.run_id()}.sock"


def example_file(version: str) -> Path:
    """A row of the release's test split, as JSON: what `call it` shows."""
    return settings().home / "serving" / "releases" / version / "example.json"


def log_folder(project: str, version: str) -> Path:
    """Where a release's servers keep their prediction log."""
    return settings().predictions / project / version


def becomes_ready(version: str, seconds: float = READY_SECONDS) -> bool:
    """Wait until the release answers that it is ready; False if it ends again and again, or takes too long."""
    end = time.monotonic() + seconds
    pids: set[int] = set()
    while time.monotonic() < end:
        if is_ready(version):
            return True
        found = supervision.group(version)
        pids |= {int(process["pid"]) for process in found} - {0}
        dead = not found or any(process["statename"] == "FATAL" for process in found)
        if dead or len(pids) >= STARTS * max(1, len(found)):
            return False
        time.sleep(0.05)
    return False


def is_ready(version: str) -> bool:
    try:
        return get(version, "/readyz", timeout=2)[0] == 200
    except SILENT:
        return False


def get(version: str, path: str, timeout: float) -> tuple[int, bytes]:
    """(status, body) of one request to the release itself, past the gateway. Raises one of `envoy.SILENT`."""
    with contextlib.closing(UnixConnection(socket_of(version), timeout)) as connection:
        connection.request("GET", path, headers=api_key())
        answer = connection.getresponse()
        return answer.status, answer.read()


def not_ready(version: str) -> PackagingError:
    """What to say of a release that does not come up."""
    return PackagingError(
        f"The servers of `{version}` do not become ready.",
        where=str(supervision.logs() / f"{version}.log"),
        found=supervision.last_words(version) or "no answer at /readyz",
        next_step="see the log; nothing was sent to them",
    )
