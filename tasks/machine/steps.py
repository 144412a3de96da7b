"""What is told of a run while it goes on: steps that begin, get on and end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from penstock.refs import Value
from tasks.machine import memory

LONG = 0.5  # seconds after which even a look-up is worth a line


class StepEvent(Value):
    """A task began or ended: what a terminal shows."""

    name: str
    state: str  # started | progress | done | cached | failed | quiet
    seconds: float = 0.0
    summary: str = ""
    share: float = 0.0  # of the work, while in progress


listeners: list[Callable[[StepEvent], None]] = []


class Step:
    """What is told of a step when it ends. A ``quiet`` one is not told of, unless it took long."""

    def __init__(self) -> None:
        self.state, self.summary, self.quiet = "done", "", False


@contextlib.contextmanager
def observed(name: str) -> Iterator[Step]:
    """Tell the listeners that a step began, and how it ended."""
    began = time.monotonic()
    emit(StepEvent(name=name, state="started"))
    step = Step()
    try:
        yield step
    except BaseException:
        step.state, step.quiet = "failed", False
        raise
    finally:
        memory.give_back()  # the next step's peak comes on top of what is left of this one
        seconds = time.monotonic() - began
        state = "quiet" if step.quiet and seconds < LONG else step.state
        emit(StepEvent(name=name, state=state, seconds=seconds, summary=step.summary))


def emit(event: StepEvent) -> None:
    for listener in listeners:
        listener(event)
