"""The Dask cluster that `PENSTOCK_DASK` names: connecting, and independent pieces of work on its workers.

What is sent is a function's name, refs and small values; what comes back is the same. Each worker reads and writes
files in a store of its own: the shared one, or a home on a file system that all see. `distributed` is imported when an
address is set, not before. Whoever reaches the scheduler can run code on the workers: it belongs on a trusted network.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.errors import ClusterError, PenstockError
from tasks.cluster import cluster_piece
from tasks.machine.settings import settings
from tasks.store import store
from tasks.store.caching import file_refs

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")

CONNECT = 10.0  # seconds that a scheduler may take to answer
PATIENCE = 30.0  # seconds without any worker, or with too few, before that is an error: one that died is started again
LOOK = 1.0  # seconds between looks at the workers


def is_used() -> bool:
    return bool(settings().dask)


def spread(function: Callable[[Item], Result], items: Iterable[Item], *, what: str) -> list[Result]:
    """``function`` of each item, in their order: on the cluster's workers, or in this process where there is none.

    ``function`` is one of a module, so that it goes by name; an item is anything small, and names files by `FileRef`.
    ``what`` is what all of it is, for errors. A piece whose worker dies is done again, by another. An error of one
    piece ends all.

    Raises what a piece raises, as it is; ClusterError when the cluster cannot be used or goes away.
    """
    pieces = list(items)
    if not is_used():
        return [function(item) for item in pieces]
    with connected() as client:
        asked = asks(function.__module__, pieces)
        require_workers(client, 1)
        name = f"{what.replace(' ', '-')}-{uuid.uuid4().hex[:8]}"
        futures = [
            client.submit(cluster_piece.do, function, item, asked, key=f"{name}-{number}", pure=False)
            for number, item in enumerate(pieces)
        ]
        results = gathered(client, futures, what)
    see(results)
    return results


@contextlib.contextmanager
def connected(seconds: float | None = None) -> Iterator[Client]:
    """A client of the scheduler, which may take so long to answer.

    Raises ClusterError if it does not, or its package is not installed.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ClusterError(
            "PENSTOCK_DASK is set, and the package it needs is not installed.",
            found=f"PENSTOCK_DASK={settings().dask}",
            next_step="uv sync --extra dask",
        ) from None
    for name in ("distributed", "distributed.client"):  # what it has to say of a lost connection is said in our words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(settings().dask, timeout=seconds or CONNECT, set_as_default=False, name="penstock")
    except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:  # ValueError: no such kind of address
        raise ClusterError(
            "The Dask scheduler does not answer.",
            where=f"PENSTOCK_DASK={settings().dask}",
            found=(str(error).splitlines() or [type(error).__name__])[0][:300],
            next_step="start it (`dask scheduler`), correct the address, or unset PENSTOCK_DASK to work here",
        ) from error
    try:
        with client.as_current():
            yield client
    finally:
        with contextlib.suppress(Exception):  # a scheduler that is gone cannot be told goodbye
            client.close(timeout=CONNECT)


def asks(module: str, pieces: Any) -> cluster_piece.Asked:
    """What workers have to be like for these pieces; the shared store has their files from here on."""
    if settings().shared:
        from tasks.store import shared

        shared.publish(file_refs(pieces))
    return cluster_piece.asked(module)


def require_workers(client: Client, count: int) -> list[str]:
    """The addresses of the cluster's workers, the least busy first. Waits a little for them to come.

    Raises ClusterError if there are fewer than ``count``.
    """
    end = time.monotonic() + PATIENCE
    while True:
        with lost("to look for workers"):
            busy = client.processing()
        if len(busy) >= count:
            return sorted(busy, key=lambda address: (len(busy[address]), address))
        if time.monotonic() > end:
            raise ClusterError(
                "The cluster has too few workers.",
                where=f"PENSTOCK_DASK={settings().dask}",
                found=f"{len(busy)} of {count}",
                next_step=f"dask worker {settings().dask}"
                + (", or set PENSTOCK_DASK_SHARDS to what there is; another number is another model" * (count > 1)),
            )
        time.sleep(LOOK)


def gathered(client: Client, futures: Sequence[Future[Any]], what: str) -> list[Any]:
    """The futures' results in their order. Raises the first error, and has cancelled the others then."""
    pending, idle = set(futures), time.monotonic()
    with cancelling(client, futures):
        while pending:
            done, pending = first_done(pending, LOOK, what)
            for error in errors_of(done, what):
                raise error
            if done or present(client, what):
                idle = time.monotonic()
            if time.monotonic() - idle > PATIENCE:
                raise ClusterError(
                    f"The cluster has no workers any more: {what} is not done.",
                    where=f"PENSTOCK_DASK={settings().dask}",
                    next_step=f"dask worker {settings().dask}; then run the command again: what was finished is kept",
                )
        with lost(what):
            return list(client.gather(list(futures)))


@contextlib.contextmanager
def cancelling(client: Client, futures: Iterable[Future[Any]]) -> Iterator[None]:
    """Cancel the futures, so that no worker begins with them any more, if the block does not end well."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            client.cancel(list(futures), force=True)
        raise


def first_done(pending: set[Future[Any]], seconds: float, what: str) -> tuple[set[Future[Any]], set[Future[Any]]]:
    """(those that are done, those that are not), when one is done or so many seconds have passed."""
    from distributed import wait

    with lost(what):
        try:
            done, left = wait(pending, timeout=seconds, return_when="FIRST_COMPLETED")
        except TimeoutError:
            return set(), pending
        return done, left


def errors_of(done: Iterable[Future[Any]], what: str) -> list[BaseException]:
    """What pieces have raised, as it is; in our words, if it is about the cluster."""
    with lost(what):
        return [_in_words(error, what) for future in done if (error := future.exception())]


def present(client: Client, what: str) -> set[str]:
    """The addresses of the workers that the cluster has."""
    with lost(what):
        return set(client.nthreads())


def see(results: Any) -> None:
    """Raise ClusterError for a file that workers have made and this machine does not see."""
    for ref in file_refs(results):
        if not settings().shared and not store.path_of(ref).exists():
            raise ClusterError(
                "A worker of the cluster has made a file that this machine does not see.",
                where=str(store.path_of(ref)),
                found=str(ref),
                next_step="give workers and this machine the same PENSTOCK_HOME on a file system that all see, or a "
                "PENSTOCK_STORE",
            )


def _in_words(error: BaseException, what: str) -> BaseException:
    """What a piece has raised; in our words, if it is about the cluster."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return ClusterError(
            f"Workers died of it, one after the other: {what}.",
            where=f"worker {error.last_worker.address}",
            next_step="look at the workers' logs; most often they need more memory, or fewer threads in what they have",
        )
    missing = "" if isinstance(error, PenstockError) else _module(error)
    if missing:
        return ClusterError(
            "The cluster cannot import what it is asked to do.",
            where=f"PENSTOCK_DASK={settings().dask}",
            found=missing,
            next_step="install the same commit of Penstock for scheduler and workers, and start them again",
        )
    return error


def _module(error: BaseException | None) -> str:
    """What could not be imported, in words, if that is why; Dask wraps it."""
    while error is not None:
        if isinstance(error, ImportError):
            return str(error)
        error = error.__cause__
    return ""


@contextlib.contextmanager
def lost(what: str) -> Iterator[None]:
    """A scheduler that goes away meanwhile, in words."""
    try:
        yield
    except (CancelledError, OSError, TimeoutError) as error:
        raise ClusterError(
            f"The connection to the Dask scheduler was lost: {what} is not done.",
            where=f"PENSTOCK_DASK={settings().dask}",
            found=(str(error).splitlines() or [type(error).__name__])[0][:200],
            next_step="start the scheduler and its workers, or unset PENSTOCK_DASK; then run the command again: what "
            "was finished is kept",
        ) from None
