"""Waiting for a shared store that is away: tried again with growing pauses, told of, and given up in time."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

from penstock.errors import UnreachableError
from tasks.machine import steps

T = TypeVar("T")

SECONDS = 120.0  # a bucket that is away for longer is not blinking: the user is to decide
TOLD_AFTER = 3.0  # seconds without an answer after which the user is told
LONGEST_PAUSE = 5.0
HURRY = 5.0  # for what goes on without the store; the first call of a process loads a client, too
ROLLOUT = 20.0  # while a challenger answers requests, and nobody judges it

logger = logging.getLogger("penstock.store")

_away: dict[str, float] = {}  # since when the users of these have been told that they wait
_telling = threading.Lock()
_most: ContextVar[float] = ContextVar("penstock_patience", default=SECONDS)


class AwayError(Exception):
    """The store did not answer, or answered that it cannot now. The message says how."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """In this block the store is waited for at most so long: for what has to happen without it, if need be."""
    token = _most.set(seconds)
    try:
        yield
    finally:
        _most.reset(token)


def most() -> float:
    """Seconds for which a store is waited for here."""
    return _most.get()


def patiently(where: str, do: Callable[[], T]) -> T:
    """``do()``, again while it raises AwayError. What is done so has to bear being done twice.

    Raises UnreachableError when patience has ended.
    """
    began, pause = time.monotonic(), 0.2
    while True:
        try:
            found = do()
        except AwayError as error:
            waited = time.monotonic() - began
            if waited >= _most.get():
                raise UnreachableError(
                    f"The shared store has not answered for {waited:.0f} s.",
                    where=where,
                    found=str(error),
                    next_step="make it reachable, then run the command again: what was finished is kept",
                ) from None
            if waited >= TOLD_AFTER:
                _tell_away(where, waited, str(error))
            # of several that wait, not all come back at the same moment
            time.sleep(min(pause, max(0.0, _most.get() - waited)) * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)
        except OSError:  # no such object, or one too many: that is an answer
            _tell_back(where)
            raise
        else:
            _tell_back(where)
            return found


def _tell_away(where: str, waited: float, why: str) -> None:
    """Once, however many wait."""
    with _telling:
        if where not in _away:
            _away[where] = time.monotonic() - waited
            _tell(waited, "failed", f"{where} does not answer ({why}); trying for {_most.get():.0f} s")


def _tell_back(where: str) -> None:
    if where in _away:
        with _telling:
            since = _away.pop(where, None)
            if since is not None:
                _tell(time.monotonic() - since, "done", f"{where} answers again")


def _tell(seconds: float, state: str, text: str) -> None:
    steps.emit(steps.StepEvent(name="shared store", state=state, seconds=seconds, summary=text))
    if not steps.listeners:  # no terminal: a worker's log, or the warden's
        logger.warning("shared store: %s", text)
