"""Clients in a process of their own: `python rollout_client.py PORT PATH BODIES CONNECTIONS RATE OUT`, until SIGTERM.

Each of CONNECTIONS clients keeps a connection and sends one of BODIES (a JSON list of strings) every CONNECTIONS/RATE
seconds, each time for another user (`x-user-id`). Nothing is sent twice: a request whose connection breaks has failed.
OUT is written at the end: one [time sent (epoch s), seconds, status (0: no answer), version] for each request.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from pathlib import Path

TIMEOUT = 10.0


class Client:
    """One keep-alive connection, opened again when it is gone."""

    def __init__(self, port: int, path: str) -> None:
        self.port, self.path = port, path
        self.writer: asyncio.StreamWriter | None = None
        self.reader: asyncio.StreamReader | None = None

    async def ask(self, body: bytes, user: int) -> tuple[int, str]:
        """Status and version of one answer; (0, "") if none comes."""
        try:
            async with asyncio.timeout(TIMEOUT):
                if self.writer is None or self.reader is None or self.reader.at_eof():
                    self.close()
                    self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
                head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\nx-user-id: {user}\r\n"
                length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                self.writer.write((head + length).encode() + body)
                answer = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                found = dict(line.split(": ", 1) for line in answer.split("\r\n")[1:] if ": " in line)
                await self.reader.readexactly(int(found["content-length"]))
        except (OSError, EOFError, KeyError, TimeoutError, asyncio.LimitOverrunError):
            self.close()
            return 0, ""
        if found.get("connection") == "close":
            self.close()
        return int(answer.split(" ", 2)[1]), found.get("x-penstock-model", "")

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


async def main() -> None:
    port, path, bodies, connections, rate, out = sys.argv[1:]
    contents = [body.encode() for body in json.loads(Path(bodies).read_text())]
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    sent: list[tuple[float, float, int, str]] = []

    async def user(number: int) -> None:
        chance, client, each = random.Random(number), Client(int(port), path), int(connections) / float(rate)
        due = time.monotonic() + each * chance.random()
        while not done.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + each, time.monotonic() - 1)  # after a stall, no more than a second is made up for
            began, at = time.perf_counter(), time.time()
            status, version = await client.ask(chance.choice(contents), chance.randrange(10**6))
            sent.append((at, time.perf_counter() - began, status, version))
        client.close()

    await asyncio.gather(*(user(number) for number in range(int(connections))))
    Path(out).write_text(json.dumps(sorted(sent)))


asyncio.run(main())
