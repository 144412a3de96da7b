"""A server of Google Cloud Storage on a free loopback port: gcp-storage-emulator's, with conditions and one lock.

That emulator ignores `ifGenerationMatch`, as does the other one of the package index. What is added here is the
smallest part of it that a store needs: a POST that says `ifGenerationMatch=0` creates an object or is answered 412.
Requests wait for one another, so that looking and writing are one step, as at Google's. So the request that is sent,
and what follows from each answer, are tested; that Google's service decides between two writers is its own word.
Objects are kept in memory and end with the process.

Run as a module it serves until it is killed: `python -m tests.gcs_server PORT`.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gcp_storage_emulator.handlers import buckets
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

BUCKET = "team"
TAKEN = {"error": {"code": 412, "message": "At least one of the pre-conditions you specified did not hold."}}


class TakenError(Exception):
    """The object is there, and was to be created."""


class Conditional(Storage):
    new = False  # what the request asks for that has the lock

    def create_file(self, bucket_name: str, file_name: str, *rest: Any, **more: Any) -> None:
        if self.new and file_name in self.objects.get(bucket_name, {}):
            raise TakenError
        super().create_file(bucket_name, file_name, *rest, **more)

    def _write_config_to_file(self) -> None: ...  # all of it at each write, and nobody reads it


class Handler(RequestHandler):
    one_at_a_time = threading.Lock()

    def do_POST(self) -> None:
        with self.one_at_a_time:
            self.storage.new = parse_qs(urlsplit(self.path).query).get("ifGenerationMatch") == ["0"]
            try:
                super().do_POST()
            except TakenError:
                self._say_taken()

    def do_GET(self) -> None:
        with self.one_at_a_time:
            super().do_GET()

    def do_PUT(self) -> None:
        with self.one_at_a_time:
            super().do_PUT()

    def do_DELETE(self) -> None:
        with self.one_at_a_time:
            super().do_DELETE()

    def _say_taken(self) -> None:
        body = json.dumps(TAKEN).encode()
        self.send_response(412)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port: int) -> None:
    storage = Conditional(use_memory_fs=True)
    buckets.create_bucket(BUCKET, storage)
    ThreadingHTTPServer(("127.0.0.1", port), lambda *its: Handler(storage, *its)).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
