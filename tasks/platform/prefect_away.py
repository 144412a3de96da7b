"""A Prefect server, or its database, that goes away while a flow runs: told of, and at last an error in words.

Prefect's client tries again by itself, and says nothing meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from penstock.errors import PlatformError
from tasks.machine import steps
from tasks.platform import platform
from tasks.store.patience import TOLD_AFTER

EVERY = 1.5  # seconds between two questions

logger = logging.getLogger("penstock.prefect")


@contextlib.contextmanager
def watched(url: str) -> Iterator[None]:
    """Tell the user while a team's server at ``url`` is away. Raises PlatformError for what Prefect's client gave up.

    A checkout's own server is on the machine that waits for it, and supervised: that it is slow is no news.
    """
    import httpx

    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(url, over), daemon=True)
    if platform.named_server():
        watcher.start()
    try:
        yield
    except httpx.HTTPError as error:
        if not _of(error, url):
            raise
        # not `from error`: a page of Prefect's own calls, of which none can be mended here
        raise PlatformError(
            "The Prefect server, or its database, stopped answering.",
            where=url,
            found=f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else str(error),
            next_step="run the command again when it answers: what was finished is kept",
        ) from None
    finally:
        over.set()
        if watcher.ident:
            watcher.join()


def _watch(url: str, over: threading.Event) -> None:
    away = told = 0.0
    while not over.wait(EVERY):
        if platform.ready(url):
            if told:
                _tell(time.monotonic() - away, "done", f"{url} answers again")
            away = told = 0.0
        elif not away:
            away = time.monotonic()
        elif not told and time.monotonic() - away >= TOLD_AFTER - EVERY:
            told = time.monotonic()
            _tell(told - away, "failed", f"{url} or its database does not answer; it is asked again for a minute")


def _tell(seconds: float, state: str, text: str) -> None:
    steps.emit(steps.StepEvent(name="prefect server", state=state, seconds=seconds, summary=text))
    if not steps.listeners:  # no terminal: a worker's log
        logger.warning("prefect server: %s", text)


def _of(error: Exception, url: str) -> bool:
    """Whether it is of a request to that server: flows ask others too."""
    try:
        return str(error.request.url).startswith(url)  # type: ignore[attr-defined]
    except RuntimeError:  # it has no request
        return False
