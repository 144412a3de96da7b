"""Brings back what is to serve when supervisord starts, ends rollouts whose leader has died, and reminds of forced
blessings that are over: `-m tasks.rollout.warden`.

A deploy flow that is killed can judge its challenger no more, and nobody else would. Supervisord keeps this process
alive while anything serves. It looks once a second, at one small file, unless that has changed.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from datetime import date

from penstock.errors import PenstockError
from tasks.machine import clock
from tasks.registry.ended import tell_expired
from tasks.rollout.settle import settle_all
from tasks.rollout.telling import tell_later
from tasks.serving import serving
from tasks.store import patience

SECONDS = 1.0

logger = logging.getLogger("penstock.warden")


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    with _logged():
        recover()
    settled, reminded = 0, (0, date.min)
    while True:
        time.sleep(SECONDS)
        with _logged():
            settled = look(settled)
        with _logged(), patience.within(patience.HURRY):
            reminded = remind(reminded)


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
    for event in told:
        logger.info("%s %s: %s", event.version, event.kind, event.reason)
    tell_later(told)
    return revision if whole else settled


def remind(reminded: tuple[int, date]) -> tuple[int, date]:
    """Tell the ledger and Prefect of forced releases that serve after their last day. Looks once a day or change.

    Nothing is rolled back.
    """
    desired, today = serving.read(), clock.now().date()
    if reminded == (desired.revision, today):
        return reminded
    for project in sorted({server.project for server in desired.servers.values()}):
        event = tell_expired(project)
        if event is not None:
            logger.warning("%s: what serves was blessed by force, and that is over", project)
            tell_later([event])
    return desired.revision, today


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
