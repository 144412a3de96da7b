"""Several workers of the cluster as one: each does a part, and XGBoost's collective joins what they compute.

The parts have to run at the same time, each on a worker of its own: the workers are reserved first, and are shown the
files, so that what can go wrong does so before any waits for another. The first part's worker has the tracker, by
which the parts find one another: workers reach workers, and nobody else need be reached. A worker that dies breaks the
connections of the others, who end at once; all is begun again, once, with the workers there are.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.errors import ClusterError
from tasks.cluster import cluster, cluster_piece
from tasks.cluster.collective_part import LostError, Tell, part
from tasks.machine import steps
from tasks.machine.settings import settings

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")

logger = logging.getLogger("penstock.dask")

ATTEMPTS = 2
LOOK = 0.2  # seconds between looks
UNTIL_SEEN = 5.0  # seconds after an error in which it is seen that a worker died of it, or the cause in another part


def together(function: Callable[[Item, Tell], Any], items: Sequence[Item], *, what: str, heard: Tell) -> Any:
    """What ``function`` gives of the first item, while other workers do it of the others; see `cluster.spread`.

    ``heard`` is called, here, with what the first part tells. Raises what a part raises, as it is; ClusterError when
    the cluster cannot be used, goes away, or has lost workers twice.
    """
    for attempt in range(ATTEMPTS):
        try:
            with cluster.connected() as client:
                made = _once(client, function, items, what, heard)
            cluster.see(made)
            return made
        except LostError as error:
            if attempt + 1 == ATTEMPTS:
                raise ClusterError(
                    f"Workers went away twice: {what} is not done.",
                    where=f"PENSTOCK_DASK={settings().dask}",
                    found=error.found,
                    next_step="look at the workers' logs, most often they need more memory; then run the command "
                    "again: what was finished is kept",
                ) from None
            _tell_again(error, what)
    raise AssertionError("unreachable")


def _tell_again(error: LostError, what: str) -> None:
    text = f"{error.found}; {what} begins again with the workers there are"
    steps.emit(steps.StepEvent(name="dask", state="failed", summary=text))
    if not steps.listeners:  # no terminal: a worker's log
        logger.warning("dask: %s", text)


def _once(client: Client, function: Any, items: Sequence[Any], what: str, heard: Tell) -> Any:
    name = f"{what.replace(' ', '-')}-{uuid.uuid4().hex[:8]}"
    workers = cluster.require_workers(client, len(items))[: len(items)]
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.subscribe_topic(name, lambda event: told.put(event[1]))
    asked = cluster.asks(function.__module__, list(items))
    futures: list[Future[Any]] = []

    def submit(do: Any, stage: str, number: int, *arguments: Any) -> Future[Any]:
        future = client.submit(
            do,
            *arguments,
            key=f"{name}-{stage}-{number}",
            workers=[workers[number]],
            allow_other_workers=False,
            pure=False,
            priority=1,  # before the pieces of others that wait for the same worker: parts wait for one another
        )
        futures.append(future)
        return future

    with cluster.cancelling(client, futures), _reserved(workers, what):
        looked = [submit(cluster_piece.see, "see", n, function.__module__, item, asked) for n, item in enumerate(items)]
        _ended(client, set(looked), workers, what)
        first = submit(part, "part", 0, function, items[0], (0, len(items)), name, None)
        pending = {first}
        while pending:
            pending = _ended(client, pending, workers, what, LOOK)
            while not told.empty():
                kind, value = told.get()
                if kind == "told":
                    heard(value)
                else:
                    pending |= {
                        submit(part, "part", n, function, item, (n, len(items)), name, value)
                        for n, item in enumerate(items)
                        if n
                    }
        with cluster.lost(what):
            return first.result(timeout=cluster.PATIENCE)


def _ended(
    client: Client, pending: set[Future[Any]], workers: list[str], what: str, seconds: float | None = None
) -> set[Future[Any]]:
    """What is left of ``pending`` after so long; None: nothing, however long it takes. Raises LostError."""
    looked = 0.0
    while pending:
        done, pending = cluster.first_done(pending, LOOK, what)
        errors = cluster.errors_of(done, what)
        if errors:
            raise _cause(client, errors, pending, workers, what)
        if time.monotonic() - looked > cluster.LOOK:
            looked = time.monotonic()
            _require_all(client, workers, what)
        if seconds is not None:
            break
    return pending


def _cause(
    client: Client, errors: list[BaseException], pending: set[Future[Any]], workers: list[str], what: str
) -> BaseException:
    """Of what happens when one part ends and so breaks the others off, that which happened first."""
    end = time.monotonic() + UNTIL_SEEN
    while pending and time.monotonic() < end:
        done, pending = cluster.first_done(pending, LOOK, what)
        errors += cluster.errors_of(done, what)
        _require_all(client, workers, what)
    _require_all(client, workers, what)
    own = [error for error in errors if not isinstance(error, LostError)]
    return (own or errors)[0]


def _require_all(client: Client, workers: list[str], what: str) -> None:
    gone = sorted(set(workers) - cluster.present(client, what))
    if gone:
        raise LostError(f"A worker went away: {what} is not done.", found=f"{', '.join(gone)} went away")


@contextlib.contextmanager
def _reserved(workers: list[str], what: str) -> Iterator[None]:
    """Nobody else has parts on these workers meanwhile: two that wait for each other's workers would wait for ever."""
    from distributed import Lock

    with contextlib.ExitStack() as stack:
        for address in sorted(workers):
            lock = Lock(f"penstock-{address}")
            with cluster.lost(what):
                if not lock.acquire(timeout=cluster.LOOK):
                    text = f"{what} waits for {address}, which trains another model"
                    steps.emit(steps.StepEvent(name="dask", state="progress", summary=text))
                    lock.acquire()
            stack.callback(_release, lock)
        yield


def _release(lock: Any) -> None:
    with contextlib.suppress(Exception):  # of a scheduler that is gone nothing is held
        lock.release()
