"""What a worker does with one part of what several do together: see `tasks/cluster/collective.py`.

The parts talk by XGBoost's collective; the first of them has the tracker, by which they find one another.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from penstock.errors import ClusterError, PenstockError
from tasks.cluster import cluster_piece

Tell = Callable[[Any], None]  # sends a small value to whoever waits; ends the part where nobody does any more

MEET = 300  # seconds in which the parts have to find one another: a worker may be in the midst of something else
RETRY = 1  # the tracker is there before anybody looks for it; one that is gone is not waited for at the end
OFTEN = 0.25  # seconds between what is sent of a part's progress


class LostError(ClusterError):
    """A part's worker went away, or the parts lost one another."""


def part(function: Any, item: Any, place: tuple[int, int], topic: str, tracker: dict[str, Any] | None) -> Any:
    """One part, in the worker's process. ``place``: (number, of how many). The first part starts the tracker."""
    from distributed import get_worker
    from xgboost import collective

    worker, last = get_worker(), [0.0]
    key = worker.get_current_task()

    def tell(value: Any) -> None:
        state = worker.state.tasks.get(key)
        if state is None or state.state != "executing" or worker.status.name not in ("running", "paused"):
            raise LostError("Nobody waits for this part any more.", found="it was given up")
        if place[0] == 0 and time.monotonic() - last[0] > OFTEN:
            last[0] = time.monotonic()
            worker.log_event(topic, ("told", value))

    with contextlib.ExitStack() as stack:
        if tracker is None:
            tracker = stack.enter_context(_tracker(worker.address, place[1]))
            worker.log_event(topic, ("tracker", tracker))
        among = {**tracker, "dmlc_task_id": f"{place[0]:06}", "dmlc_retry": RETRY}
        with _parted(worker.address), collective.CommunicatorContext(**among):
            made = function(item, tell)
    cluster_piece.publish(made)
    return made


@contextlib.contextmanager
def _tracker(address: str, parts: int) -> Iterator[dict[str, Any]]:
    """The arguments by which the parts find one another, as long as the block lasts."""
    import xgboost as xgb
    from distributed.comm.addressing import get_address_host
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(n_workers=parts, host_ip=get_address_host(address), sortby="task", timeout=MEET)
    tracker.start()
    try:
        yield tracker.worker_args()
        with contextlib.suppress(xgb.core.XGBoostError, ValueError):  # what was to be made is made
            tracker.wait_for(MEET)  # the others say goodbye to it, too
    finally:
        with contextlib.suppress(xgb.core.XGBoostError):  # it says once more that a part broke off
            tracker.free()


@contextlib.contextmanager
def _parted(address: str) -> Iterator[None]:
    """An error of the connections between the parts, as LostError."""
    import xgboost as xgb

    try:
        yield
    except (xgb.core.XGBoostError, PenstockError) as error:
        raw = error if isinstance(error, xgb.core.XGBoostError) else error.__cause__
        if not isinstance(raw, xgb.core.XGBoostError) or "/collective/" not in str(raw):
            raise
        raise LostError(
            "The parts lost one another.", found=f"worker {address} lost the connection to another"
        ) from None
