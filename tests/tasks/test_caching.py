"""A remembered result is used exactly when nothing that made it has changed, and when it is whole."""

from __future__ import annotations

import json

import pytest

from flows.lifecycle import flow
from penstock.config import EvaluateConfig
from penstock.errors import StorageError
from penstock.refs import FileRef
from tasks.store import caching, store
from tasks.store.caching import planning, scope, task
from tasks.store.source import closure

calls: list[int] = []


@task(libraries=("numpy",))
def double(number: int, evaluate: EvaluateConfig) -> FileRef:
    """Twice the number, as a file."""
    calls.append(number)
    return store.put_json({"twice": 2 * number}, "twice.json")


@task
def add_one(twice: FileRef) -> FileRef:
    return store.put_json({"more": store.read_json(twice)["twice"] + 1}, "more.json")


@task(cached=False)
def announce(more: FileRef) -> str:
    return f"it is {store.read_json(more)['more']}"


@flow
def small(number: int = 3, slices: tuple[str, ...] = ()) -> str:
    """double, add one, announce."""
    scope.set("small")
    return announce(add_one(double(number, EvaluateConfig(slices=tuple(slices)))))


@pytest.fixture(autouse=True)
def _fresh(live):
    calls.clear()


def plan(*arguments) -> dict[str, tuple[bool, tuple[str, ...]]]:
    with planning() as steps:
        small.fn(*arguments)
    return {step.name: (step.runs, step.reasons) for step in steps}


def test_equal_inputs_are_computed_once(live):
    assert small(3) == small(3) == "it is 7"
    assert calls == [3]
    assert small(4) == "it is 9"
    assert calls == [3, 4]


def test_plan_says_what_run_does_and_why(live):
    assert plan(3)["double"] == (True, ("no earlier run",))
    assert plan(3)["add one"] == (True, ("needs what `double` makes",))
    small(3)
    assert plan(3)["double"] == (False, ())
    assert plan(3)["announce"] == (True, ("runs every time",))
    assert plan(4)["double"] == (True, ("config: number changed (3 -> 4)",))
    assert plan(3, ("color",))["double"] == (True, ('config: evaluate.slices changed ([] -> ["color"])',))
    assert calls == [3]


@pytest.mark.parametrize(
    ("part", "value", "reason"),
    [
        ("version", lambda name: "99.0", "library: numpy {0} -> 99.0"),
        ("closure", lambda module: {**closure(module), "penstock/new.py": "1"}, "code: penstock/new.py is new"),
    ],
)
def test_code_and_libraries_count(live, monkeypatch, part, value, reason):
    import numpy

    small(3)
    monkeypatch.setattr(caching, part, value)
    runs, reasons = plan(3)["double"]
    assert runs
    assert reason.format(numpy.__version__) in reasons
    small(3)
    assert calls == [3, 3]


@pytest.mark.parametrize("damage", ["record", "file", "foreign"])
def test_a_result_that_is_not_whole_is_computed_again(live, damage):
    small(3)
    (record,) = (path for path in (live.home / "cache").iterdir() if path.name.startswith("double-"))
    if damage == "record":
        record.write_text(record.read_text()[:40])
    elif damage == "file":
        (file,) = caching.file_refs(caching.recall(record.name))
        store.locate(file).unlink()
    else:
        tree = json.loads(record.read_text())
        tree["result"] = json.dumps({"__class__": "subprocess.Popen", "data": {"args": "true"}})
        record.write_text(json.dumps(tree))
    assert caching.recall(record.name) is None
    assert small(3) == "it is 7"
    assert calls == [3, 3]


def test_an_argument_that_has_no_content_to_hash_is_refused(live):
    with pytest.raises(StorageError, match="cannot be a task's argument"):
        double.key({"number": object()})


def test_a_flow_that_is_only_looked_at_loads_nothing(live):
    from flows.lifecycle import DeferredFlow

    deferred = DeferredFlow(small.fn)
    assert not hasattr(deferred, "_pytestfixturefunction")
    assert "prefect_flow" not in vars(deferred)
    assert deferred.__doc__ == "double, add one, announce."
