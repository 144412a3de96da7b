"""Tasks whose result is remembered under what it was made from, and whose plan can be read without running them.

A key is made of the task's inputs (refs by content, config by value), the source that can change the result, the
versions of the libraries that can, and Python's. A remembered result counts only while every file it names is there,
byte for byte. Where a team shares a store, what one of them has computed the others find; two who compute the same at
once write the same, so it does not matter who is last. Prefect keeps the results and runs the tasks; Prefect itself is
imported when a flow runs, not before, so that `penstock plan` answers in well under a second.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, overload

from pydantic import BaseModel

from penstock.refs import FileRef, Value
from penstock.section import Section
from tasks.machine.settings import settings
from tasks.machine.steps import observed
from tasks.store import store
from tasks.store.cache_keys import reasons, token
from tasks.store.source import closure

P = ParamSpec("P")
R = TypeVar("R")

scope: ContextVar[str] = ContextVar("penstock_scope", default="")  # the project whose flow is running
_plan: ContextVar[list[PlannedStep] | None] = ContextVar("penstock_plan", default=None)


class PlannedStep(Value):
    """What one task would do now, and why."""

    name: str
    runs: bool
    reasons: tuple[str, ...]


class Pending:
    """Stands, while planning, for a result that is not known yet; any attribute of it is unknown too."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __getattr__(self, name: str) -> Pending:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class Task(Generic[P, R]):
    """A function, and how to know whether its result is known already. Made by `@task`."""

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str,
        libraries: tuple[str, ...],
        cached: bool,
        reads: bool,
        by_engine: bool,
    ) -> None:
        functools.update_wrapper(self, fn)
        self.fn, self.name, self.libraries, self.cached, self.reads = fn, name, libraries, cached, reads
        self.by_engine = by_engine

    def named(self, name: str) -> Task[P, R]:
        """The same task under another name, where one flow calls it twice. The key does not change."""
        return Task(
            self.fn,
            name=name,
            libraries=self.libraries,
            cached=self.cached,
            reads=self.reads,
            by_engine=self.by_engine,
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        bound = inspect.signature(self.fn).bind(*args, **kwargs)
        bound.apply_defaults()
        plan = _plan.get()
        if plan is not None:
            return self._planned(plan, bound)  # type: ignore[return-value]
        if not in_flow_run():
            return self.fn(*args, **kwargs)
        return self._observed(bound, lambda: self._prefect_task(*args, **kwargs, return_state=True))

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Callable[[], R]:
        """Start the task beside what follows; call what is returned to wait for the result."""
        if _plan.get() is not None or not in_flow_run():
            result = self(*args, **kwargs)
            return lambda: result
        bound = inspect.signature(self.fn).bind(*args, **kwargs)
        bound.apply_defaults()
        future = self._prefect_task.submit(*args, **kwargs)

        def wait() -> Any:
            future.wait()
            return future.state

        return lambda: self._observed(bound, wait)

    def key(self, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The cache key of a call with these arguments, and the document it is the hash of."""
        document = {
            "task": self.fn.__name__,
            "inputs": {name: token(value) for name, value in inputs.items()},
            "code": closure(self.fn.__module__),
            "libraries": {name: version(name) for name in sorted(self.libraries)},
            "python": ".".join(map(str, sys.version_info[:2])),
        }
        if self.by_engine and settings().engine:
            document["engine"] = str(settings().engine)
        text = json.dumps(document, sort_keys=True)
        return f"{self.fn.__name__}-{hashlib.sha256(text.encode()).hexdigest()[:40]}", document

    @functools.cached_property
    def _prefect_task(self) -> Any:
        from tasks.store.prefect_cache import prefect_task

        return prefect_task(self)

    def _observed(self, bound: inspect.BoundArguments, run: Callable[[], Any]) -> R:
        with observed(self.name) as step:
            state = run()
            result = state.result()  # raises what the task raised
            step.summary = _summary(result)
            step.state = "cached" if state.name == "Cached" else "done"
            step.quiet = self.reads
        if self.cached:
            key, document = self.key(dict(bound.arguments))
            _remember_last(self.name, key, document)
            if settings().shared:
                _publish(key, result)
        return result  # type: ignore[no-any-return]

    def _planned(self, plan: list[PlannedStep], bound: inspect.BoundArguments) -> R | Pending:
        waits = sorted({value.step for value in bound.arguments.values() if isinstance(value, Pending)})
        if waits and self.reads:
            return None  # type: ignore[return-value]  # of what does not exist yet, a look-up finds nothing
        if waits:
            plan.append(
                PlannedStep(name=self.name, runs=True, reasons=tuple(f"needs what `{step}` makes" for step in waits))
            )
            return Pending(self.name)
        if self.reads:
            return self.fn(*bound.args, **bound.kwargs)
        if not self.cached:
            plan.append(PlannedStep(name=self.name, runs=True, reasons=("runs every time",)))
            return Pending(self.name)
        key, document = self.key(dict(bound.arguments))
        result = recall(key)
        if result is not None:
            plan.append(PlannedStep(name=self.name, runs=False, reasons=()))
            return result  # type: ignore[no-any-return]
        last = _last(self.name)
        why = reasons(last, document) if last else ("no earlier run",)
        plan.append(PlannedStep(name=self.name, runs=True, reasons=why or ("its result is gone or damaged",)))
        return Pending(self.name)


@overload
def task(fn: Callable[P, R]) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str = ...,
    libraries: tuple[str, ...] = ...,
    cached: bool = ...,
    reads: bool = ...,
    by_engine: bool = ...,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(
    fn: Callable[P, R] | None = None,
    *,
    name: str = "",
    libraries: tuple[str, ...] = (),
    cached: bool = True,
    reads: bool = False,
    by_engine: bool = False,
) -> Any:
    """Make a function a task.

    ``libraries``: distributions whose version can change the result. ``cached=False`` for what must happen every
    time. ``reads=True`` for what only looks something up, at once and afresh: it also runs while planning.
    ``by_engine=True`` where a cluster gives another result than one process does.
    """

    def wrap(function: Callable[P, R]) -> Task[P, R]:
        title = name or function.__name__.replace("_", " ")
        return Task(
            function, name=title, libraries=libraries, cached=cached and not reads, reads=reads, by_engine=by_engine
        )

    return wrap(fn) if fn else wrap


def gathered(kind: type[R], **fields: Any) -> R:
    """``kind(**fields)``; while planning, a Pending if any field is one."""
    waits = next((value for value in fields.values() if isinstance(value, Pending)), None)
    return waits if waits is not None else kind(**fields)  # type: ignore[return-value]


@contextlib.contextmanager
def planning() -> Iterator[list[PlannedStep]]:
    """Inside this block tasks say what they would do, and do nothing."""
    steps: list[PlannedStep] = []
    token = _plan.set(steps)
    try:
        yield steps
    finally:
        _plan.reset(token)


def is_planning() -> bool:
    return _plan.get() is not None


def recall(key: str) -> Any:
    """The remembered result of ``key`` if it can be read and all its files are intact, else None."""
    try:
        record = json.loads(_record(key))
        result = _decoded(json.loads(record["result"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError):
        return None
    return result if store.intact(*file_refs(result)) else None


def _record(key: str) -> bytes:
    """What Prefect wrote of a result, here or on a machine that shares the store. Raises OSError if nobody did."""
    path = settings().cache / key
    if settings().shared and not path.exists():
        from tasks.store import shared

        content = shared.read_note(f"cache/{key}")
        if content is None:
            raise FileNotFoundError(key)
        store.write_atomic(path, json.dumps(_at_home(json.loads(content), str(path))).encode())
    return path.read_bytes()


def _publish(key: str, result: Any) -> None:
    """Let a team have a result: its files first, then the record that names them."""
    from tasks.store import shared

    with contextlib.suppress(FileNotFoundError):  # Prefect could not keep it: then nobody can
        record = json.loads((settings().cache / key).read_bytes())
        shared.publish(file_refs(result))
        shared.write_note(f"cache/{key}", json.dumps(_at_home(record, key), sort_keys=True).encode())


def _at_home(record: dict[str, Any], place: str) -> dict[str, Any]:
    """A record names the file it is in; the shared one names no machine's folder."""
    return record | {"metadata": record["metadata"] | {"storage_key": place}}


def file_refs(value: Any) -> Iterator[FileRef]:
    """Every file that a result names."""
    if isinstance(value, FileRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from file_refs(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from file_refs(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from file_refs(item)


def _decoded(value: Any) -> Any:
    """What Prefect's JSON serializer wrote, as the object it was: `{"__class__": ..., "data": ...}`."""
    if isinstance(value, dict) and "__class__" in value:
        module, _, name = value["__class__"].rpartition(".")
        if module.partition(".")[0] not in {"penstock", "tasks"}:
            raise ValueError(f"not a result of ours: {value['__class__']}")
        kind = getattr(importlib.import_module(module), name)
        return kind.model_validate(value["data"])
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value


def _remember_last(name: str, key: str, document: dict[str, Any]) -> None:
    if scope.get():
        with contextlib.suppress(OSError):
            content = json.dumps({"key": key, "document": document}, indent=1).encode()
            store.write_atomic(_last_path(name), content)


def _last(name: str) -> dict[str, Any] | None:
    try:
        document = json.loads(_last_path(name).read_bytes())["document"]
    except (OSError, ValueError, KeyError):
        return None
    return document if isinstance(document, dict) else None


def _last_path(name: str) -> Path:
    return settings().cache / "last" / scope.get() / (name.replace(" ", "-") + ".json")


def _summary(result: Any) -> str:
    if isinstance(result, str):
        return result
    return str(result) if isinstance(result, Value | Section) and type(result).__str__ is not BaseModel.__str__ else ""


def in_flow_run() -> bool:
    """Whether Prefect runs this; a Prefect that is not loaded runs nothing."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None
