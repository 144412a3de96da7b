"""Serves an unpacked Bento on a listening socket that is handed over as file descriptor 0.

    python -I launch.py BENTO

Whoever owns the socket (a supervisor, the check before release) can restart the server without losing connections.
`bentoml serve` is not used: its worker outlives it and goes on answering on the port. `uvicorn --fd 0` is not
either: it takes the descriptor for a Unix socket and leaves TCP_NODELAY off, 40 ms a request.

Needs BENTOML_HOME (a folder of its own) and PROMETHEUS_MULTIPROC_DIR (empty) in the environment.
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import Any


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when started in the background by a shell
    import bentoml
    import uvicorn
    from bentoml._internal.context import server_context

    service: Any = bentoml.load(sys.argv[1], standalone_load=True)
    # the labels of BentoML's own metrics
    server_context.service_name = service.name
    server_context.service_routes = []
    if service.bento:
        server_context.bento_name = service.bento.tag.name
        server_context.bento_version = service.bento.tag.version or "not-available"
    config = uvicorn.Config(
        service.to_asgi(),
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,  # longer than a proxy keeps idle connections, so that it never writes to a closed one
        timeout_graceful_shutdown=30,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=0)])


if __name__ == "__main__":
    main()
