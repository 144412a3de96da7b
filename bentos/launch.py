"""Serves an unpacked Bento on a listening socket that is handed over as file descriptor 0.

    python -I launch.py BENTO

In a container nobody is there to hand one over: with PENSTOCK_LISTEN it opens its own. Otherwise, whoever owns the
socket (a supervisor, the check before release) can restart the server without losing connections, and have several
processes answer on it. It is a TCP or a Unix socket.
`bentoml serve` is not used: its worker outlives it and goes on answering on the port. `uvicorn --fd 0` is not
either: it takes the descriptor for a Unix socket and leaves TCP_NODELAY off, 40 ms a request.

The environment that it needs:

    BENTOML_HOME               a folder of its own
    PROMETHEUS_MULTIPROC_DIR   a folder for metrics, empty at first, shared by the processes of one release

and the one that it may have:

    PENSTOCK_RELEASE     the release: `model` in answers, the header x-penstock-model; else the Bento's tag
    PENSTOCK_LOG_DIR     folder of the prediction log, <home>/predictions/<project>/<release>; else nothing is logged
    PENSTOCK_LOG         the project's section `serve.log` as JSON
    PENSTOCK_LOG_KEY     the secret of the fields that are logged as a keyed hash; without it such a log does not start
    PENSTOCK_API_KEY     what a request to /v1 has to bring, as `Authorization: Bearer KEY` or `x-api-key: KEY`
    PENSTOCK_MEMORY_MB   the most private memory (RLIMIT_DATA) that the process may take; else there is no limit
    PENSTOCK_LISTEN      HOST:PORT to listen on by itself, instead of descriptor 0; folders it needs, it makes

SIGTERM ends it: requests that run are answered, the log is closed.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

BACKLOG = 2048


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when started in the background by a shell
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from bentos import environment

    try:
        told = environment.read(os.environ)
    except ValueError as error:
        sys.exit(f"The server does not start: {error}.")
    listener = _listener(told.listen)
    if told.memory_mb:
        resource.setrlimit(resource.RLIMIT_DATA, (told.memory_mb << 20, told.memory_mb << 20))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each of its threads takes 40 MB, and none has anything to do
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # others reserve much more than they use
    import bentoml
    import uvicorn
    from bentoml._internal.context import server_context

    service: Any = bentoml.load(sys.argv[1], standalone_load=True)
    server_context.service_name = service.name
    from bentos.service import Front  # only now: BentoML has to be the one that imports the service

    app = service.to_asgi()
    # before BentoML's own middlewares: of these the limit of time keeps a timer for every request until it would have
    # expired, and tracing costs as much as all the rest, even when it is off
    app.user_middleware.sort(key=lambda found: found.cls is not Front)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,  # longer than a proxy keeps idle connections, so that it never writes to a closed one
        timeout_graceful_shutdown=30,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listener(address: tuple[str, int] | None) -> socket.socket:
    """The socket that was handed over, or one of the process's own. A port that is taken ends the process at once."""
    if address is None:
        return socket.socket(fileno=0)
    # alone in a container this is process 1, which a signal without a handler does not reach: until the server has
    # its own, a start could not be stopped
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:  # below a file system in memory that is empty at every start
        Path(folder).mkdir(parents=True, exist_ok=True)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        sys.exit(f"The server does not start: {address[0]}:{address[1]} cannot be listened on: {error.strerror}.")


if __name__ == "__main__":
    main()
