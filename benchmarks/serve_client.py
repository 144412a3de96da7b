"""A load client in a process of its own: `python serve_client.py PORT PATH CONTENT_TYPE BODY_FILE CONNECTIONS SECONDS`.

Speaks HTTP/1.1 by hand over keep-alive connections, with requests encoded beforehand, so that it costs a tenth of the
fastest server here. Checks every answer: status 200, and the scores of the first answer. Prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

WARM_UP = 0.3  # seconds that are not measured


class Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete."""

    def __init__(self, request: bytes, taken: list[float], state: dict) -> None:
        self.request, self.taken, self.state = request, taken, state
        self.buffer, self.needed = b"", 0

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.needed:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            at = head.index(b"content-length:")
            self.needed = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self.buffer) < self.needed:
            return
        now = time.perf_counter()
        self.check(self.buffer)
        self.buffer, self.needed = b"", 0
        if now >= self.state["end"]:
            self.transport.close()
            return
        if self.began >= self.state["start"]:
            self.taken.append(now - self.began)
        self.ask()

    def check(self, answer: bytes) -> None:
        scores = answer[answer.rfind(b"[") :]
        if not answer.startswith(b"HTTP/1.1 200") or scores != self.state.setdefault("scores", scores):
            self.state["wrong"] = answer[:2000].decode(errors="replace")
            self.transport.abort()

    def connection_lost(self, error) -> None:
        self.state["left"] -= 1
        if not self.state["left"]:
            self.state["done"].set()


async def main() -> None:
    port, path, kind, body, connections, seconds = sys.argv[1:]
    content = Path(body).read_bytes()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    start = time.perf_counter() + WARM_UP
    state = {"start": start, "end": start + float(seconds), "left": int(connections), "done": asyncio.Event()}
    taken: list[float] = []
    loop = asyncio.get_running_loop()
    for _ in range(int(connections)):
        await loop.create_connection(lambda: Connection(head.encode() + content, taken, state), "127.0.0.1", int(port))
    await state["done"].wait()
    if "wrong" in state or not taken:
        sys.exit(f"a wrong answer: {state.get('wrong', 'none at all')}")
    taken.sort()
    count = len(taken)
    print(json.dumps({
        "rps": count / float(seconds),
        "p50": taken[count // 2] * 1e3,
        "p99": taken[min(count - 1, int(count * 0.99))] * 1e3,
        "requests": count,
        "scores": state["scores"].decode(),
    }))  # fmt: skip


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
