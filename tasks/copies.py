"""Keeps `<home>/store` within `PENSTOCK_CACHE_GB` where a store is shared.

Of the files that the shared store is known to have, the one that was asked for longest ago goes first. A file that only
this machine has is never thrown away, nor one that was asked for within the last hour: whoever asked may still read it.
"""

from __future__ import annotations

import contextlib
import time

from tasks import known
from tasks.settings import settings

IN_USE = 3600.0  # seconds
GB = 1_000_000_000

_until_next_look = 0  # bytes that may still come before the files are counted again


def keep_within_bounds(came: int) -> None:
    """Throw copies away if there are too many, seldom enough to cost nothing."""
    global _until_next_look
    _until_next_look -= came
    if _until_next_look > 0:
        return
    most = int(settings().cache_gb * GB)
    copies = []
    for path in settings().store.glob("??/*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            copies.append((status.st_atime, status.st_size, path))
    total = sum(size for _, size, _ in copies)
    if total > most:
        names = {f"store/{path.parent.name}/{path.name}": path for _, _, path in copies}
        elsewhere = known.among(names)
        for used, size, path in sorted(copies):
            if total <= 0.9 * most or time.time() - used < IN_USE:
                break
            if f"store/{path.parent.name}/{path.name}" in elsewhere:
                path.unlink(missing_ok=True)
                total -= size
    _until_next_look = max(most - total, most // 20)
