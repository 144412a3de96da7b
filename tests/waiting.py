"""Waiting for what will happen. How long it takes says how busy the machine is, and nothing of what is tested."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 180.0  # s: after so long it does not happen any more, also where ten others share the processor


def until(holds: Callable[[], Any], what: Any = "it did not happen") -> Any:
    """What ``holds()`` says once that is true. ``what``: the message when it never is; a function's is made then."""
    end = time.monotonic() + PATIENCE
    while not (found := holds()):
        if time.monotonic() > end:
            raise AssertionError(what() if callable(what) else what)
        time.sleep(0.05)
    return found
