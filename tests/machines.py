"""Machines of a team that share a store, and days that go by for all of them."""

from __future__ import annotations

import http.client
import os
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from tasks.machine.settings import settings
from tasks.store.objects import Folder, objects
from tests.s3_server import BUCKET

DAY = 86_400.0


class Machines:
    """Homes below ``folder``; `go` makes this process be one of them."""

    def __init__(self, folder: Path, patch) -> None:
        self.folder, self._patch = folder, patch

    def go(self, name: str) -> None:
        self._patch.setenv("PENSTOCK_HOME", str(self.folder / name))
        settings.cache_clear()

    def sleep(self, days: float) -> None:
        """So many days later: all that is in the shared store is older, and what is known of it, too."""
        found = objects()
        if isinstance(found, Folder):
            for entry in found.entries("."):
                path = found._at(entry.name)
                os.utime(path, (path.stat().st_atime, entry.modified - days * DAY))
        else:
            server = http.client.HTTPConnection(urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc, timeout=30)
            server.request("AGE", f"/{found.where.removeprefix(f's3://{BUCKET}/')}?{days}")
            assert server.getresponse().status == 200
        for database in self.folder.glob("*/store/state.db"):
            with sqlite3.connect(database) as memory:
                if memory.execute("SELECT 1 FROM sqlite_master WHERE name = 'shared'").fetchone():
                    memory.execute("UPDATE shared SET seen = seen - ?", (days * DAY,))
            memory.close()
