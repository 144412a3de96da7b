"""Brings back what is to serve when supervisord starts, and ends rollouts whose leader has died: `-m tasks.warden`.

A deploy flow that is killed can judge its challenger no more, and nobody else would. Supervisord keeps this process
alive while anything serves. It looks once a second, at one small file, unless that has changed.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

from penstock.errors import PenstockError
from tasks import serving
from tasks.settle import settle_all

SECONDS = 1.0

logger = logging.getLogger("penstock.warden")


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    with _logged():
        recover()
    settled = 0
    while True:
        time.sleep(SECONDS)
        with _logged():
            settled = look(settled)


def recover() -> None:
    """Have the gateway follow what is desired: supervisord has just started, and its sockets are new."""
    look(0)
    late = serving.converge()
    logger.info("%s", f"not ready: {', '.join(late)}" if late else "everything that is to serve is ready")


def look(settled: int) -> int:
    """Settle what a dead deploy left, if anything has changed since revision ``settled``; the one settled now."""
    revision = serving.read().revision
    if revision == settled:
        return settled
    told, whole = settle_all()
    for line in told:
        logger.info("%s", line)
    return revision if whole else settled


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """What cannot be done now (a full disk, a damaged file) is tried again in a second."""
    try:
        yield
    except (PenstockError, OSError) as error:
        with contextlib.suppress(OSError):
            logger.error("%s", error.text() if isinstance(error, PenstockError) else error)


if __name__ == "__main__":
    main()
