"""A TCP proxy in front of a server that can be made to refuse, to answer 500, to hang, or to lose answers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BadNetwork:
    """``mode``: fine, refused (nobody listens), dropped (connections end without a word), errors, slow (nothing is
    handed on), or deaf (requests arrive, answers do not). ``troubled``: connections that were not fine."""

    def __init__(self, port: int) -> None:
        self.target, self.mode, self.troubled = port, "fine", 0
        self._open: set[socket.socket] = set()
        self.port = 0
        self._listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def become(self, mode: str) -> None:
        """From now on, for connections that are open too."""
        before, self.mode = self.mode, mode
        if mode == "refused":
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        if before == "refused" and mode != "refused":
            self._listen()

    def away(self, mode: str, seconds: float) -> threading.Timer:
        """Out of order for so long, in the background."""
        self.become(mode)
        timer = threading.Timer(seconds, self.become, ["fine"])
        timer.start()
        return timer

    def close(self) -> None:
        if self.mode != "refused":
            self.become("refused")

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        mode = self.mode
        if mode != "fine":
            self.troubled += 1
        with client, contextlib.suppress(OSError):
            self._open.add(client)
            if mode == "errors":
                client.recv(1 << 16)
                client.sendall(ERROR)
            elif mode == "slow":
                while self.mode == "slow":
                    time.sleep(0.05)
            elif mode in ("fine", "deaf"):
                with socket.create_connection(("127.0.0.1", self.target)) as server:
                    self._open.add(server)
                    back = threading.Thread(target=_pump, args=(server, client, mode == "deaf"), daemon=True)
                    back.start()
                    _pump(client, server)
                    back.join()
        self._open.discard(client)


def _pump(source: socket.socket, target: socket.socket, swallowed: bool = False) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            if swallowed and not data.startswith(b"HTTP/1.1 100"):  # "go on" is not the answer yet
                break
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def bad_network(port: int) -> Iterator[BadNetwork]:
    network = BadNetwork(port)
    try:
        yield network
    finally:
        network.close()
