"""Brings back what is to serve when supervisord starts, and ends rollouts whose leader has died: `-m tasks.warden`.

A deploy flow that is killed can judge its challenger no more, and nobody else would. Supervisord keeps this process
alive while anything serves. It looks once a second, at one small file, unless something is to be done.
"""

from __future__ import annotations

import contextlib
import logging
import time

from penstock.errors import PenstockError
from tasks import serving
from tasks.settle import settle_all

SECONDS = 1.0

logger = logging.getLogger("penstock.warden")


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    recover()
    while True:
        time.sleep(SECONDS)
        with contextlib.suppress(BrokenPipeError):
            look()


def recover() -> None:
    """Have the gateway follow what is desired: supervisord has just started, and its sockets are new."""
    try:
        late = serving.converge()
        logger.info("%s", f"not ready: {', '.join(late)}" if late else "everything that is to serve is ready")
    except PenstockError as error:
        logger.error("%s", error.text())


def look() -> None:
    """Settle what a dead deploy left, if there is anything."""
    try:
        if any(route.challenger for route in serving.read().production.values()):
            for told in settle_all():
                logger.info("%s", told)
    except PenstockError as error:
        logger.error("%s", error.text())  # looked at again in a second


if __name__ == "__main__":
    main()
