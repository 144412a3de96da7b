"""`@flow`: a Prefect flow that finds its own server, and does not import Prefect until it runs.

A flow called from Python or the command line starts this checkout's Prefect server if none is up. Under a worker,
or where `PREFECT_API_URL` names a server, that one is used.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints

from penstock.errors import PenstockError, Rejected, RolloutError
from penstock.next_command import named
from tasks.machine import environments
from tasks.machine.settings import settings

if TYPE_CHECKING:
    from prefect import State


def flow(fn: Callable[..., Any]) -> Any:
    """A flow named as its function is: a `prefect.Flow` once Prefect is loaded, and before that one that becomes it."""
    settings()
    fn = _using_store(fn)
    return _prefect_flow(fn) if "prefect" in sys.modules else DeferredFlow(fn)


def _using_store(fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn``, during which nothing is taken out of the store: files that it has made are named by no record yet."""

    @functools.wraps(fn)
    def run(*args: Any, **kwargs: Any) -> Any:
        from tasks.store.caching import is_planning
        from tasks.store.store_use import in_use

        with contextlib.nullcontext() if is_planning() else in_use():
            return fn(*args, **kwargs)

    # Prefect looks the parameters' types up in the globals of the function that it gets, which are this file's
    parameters = {name: kind for name, kind in fn.__annotations__.items() if name != "return"}
    run.__annotations__ = get_type_hints(SimpleNamespace(__annotations__=parameters), fn.__globals__)
    signature = inspect.signature(fn)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            each.replace(annotation=run.__annotations__.get(name, each.annotation))
            for name, each in signature.parameters.items()
        ],
        return_annotation=inspect.Signature.empty,
    )
    return run


class DeferredFlow:
    """A flow that has not been used yet. `fn` is the plain function; everything else is the Prefect flow's."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        functools.update_wrapper(self, fn)
        self.fn = fn

    @functools.cached_property
    def prefect_flow(self) -> Any:
        from tasks.platform.platform import prefect_environment

        prefect_environment()
        return _prefect_flow(self.fn)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from tasks.platform.platform import start_server_early

        start_server_early()  # it comes up while Prefect is imported
        _collect_less()
        return self.prefect_flow(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # whoever looks an object over, such as pytest, does not want a flow made of it
            raise AttributeError(name)
        return getattr(self.prefect_flow, name)


@functools.cache
def _collect_less() -> None:
    """Spare the garbage collector the half million objects that libraries make when imported, and that stay.

    At exit it would go through all of them once more, for a second; registered first, this runs after every other
    exit handler.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)


def _prefect_flow(fn: Callable[..., Any]) -> Any:
    from prefect import Flow
    from prefect.context import FlowRunContext

    class CheckoutFlow(Flow):  # type: ignore[type-arg]
        """A Prefect flow that makes sure of its server before a run that was started by a call."""

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            if FlowRunContext.get() is not None:
                return super().__call__(*args, **kwargs)
            from prefect import tags

            from tasks.platform.events import run_tag
            from tasks.platform.platform import connected
            from tasks.platform.prefect_away import watched

            config = Path(str(args[0] if args else kwargs.get("config", "")))
            with connected() as url, watched(url), tags(run_tag(config.stem)):
                return super().__call__(*args, **kwargs)

    return CheckoutFlow(fn, name=fn.__name__)


def rollout_state(error: RolloutError) -> State[Any]:
    """The state a flow returns for a release that did not come to serve: FAILED by type, RolledBack or Held by name."""
    from prefect.states import Failed

    held = getattr(error.deployment, "result", "") == "held"
    return Failed(name="Held" if held else "RolledBack", message=_text(error), data=error)


def rejected_state(error: Rejected) -> State[Any]:
    """The state a flow returns for a candidate that its gates refused: FAILED by type, Rejected by name.

    Prefect does not retry it, `prefect deployment run --watch` ends non-zero, and a caller from Python gets ``error``.
    """
    from prefect.states import Failed

    return Failed(name="Rejected", message=_text(error), data=error)


def _text(error: PenstockError) -> str:
    return named(error.text(), environments.current())
