"""Prefect artifacts, made only where a Prefect run is going on."""

from __future__ import annotations

import sys
import time
from typing import Any


def in_prefect_run() -> bool:
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext

    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


class Progress:
    """A progress artifact of the running task, updated at most once a second."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._id: Any = None
        self._told = 0.0

    def update(self, percent: float) -> None:
        now = time.monotonic()
        if now - self._told < 1 or not in_prefect_run():
            return
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        self._told = now
        if self._id is None:
            self._id = create_progress_artifact(progress=percent, key=self._key)
        else:
            update_progress_artifact(self._id, progress=percent)


def markdown(key: str, text: str) -> None:
    if in_prefect_run():
        from prefect.artifacts import create_markdown_artifact

        create_markdown_artifact(text, key=key)


def table(key: str, rows: list[dict[str, Any]]) -> None:
    if in_prefect_run():
        from prefect.artifacts import create_table_artifact

        create_table_artifact(rows, key=key)
