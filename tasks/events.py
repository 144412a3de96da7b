"""Prefect events of ours: what triggers of `prefect.yaml` react to."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar

_chained: ContextVar[bool] = ContextVar("penstock_chained", default=False)


@contextlib.contextmanager
def chained() -> Iterator[None]:
    """What is told of in this block is followed up by the caller: its events say so, and triggers leave them alone."""
    token = _chained.set(True)
    try:
        yield
    finally:
        _chained.reset(token)


def tell(event: str, project: str, **payload: str) -> None:
    """Emit ``penstock.<event>`` about a project, while a flow runs. Its resource says who follows it up:

    ``penstock.follow-up`` is ``trigger``, or ``run`` where the flow that told goes on by itself.
    """
    if "prefect" not in sys.modules:
        return
    from prefect.events import emit_event

    with contextlib.suppress(Exception):  # an event that cannot be told must not undo what it tells of
        emit_event(
            event=f"penstock.{event}",
            resource={
                "prefect.resource.id": f"penstock.project.{project}",
                "prefect.resource.name": project,
                "penstock.follow-up": "run" if _chained.get() else "trigger",
            },
            payload=payload,
        )
