"""The ledger's files: appended once each, by whoever is first, and never used when damaged."""

from __future__ import annotations

import subprocess
import sys

import pytest

from penstock.errors import StorageError
from penstock.refs import FileRef
from tasks.registry import ledger_store
from tests.waiting import PATIENCE

RECORD = FileRef(name="record.json", sha256="0" * 64, size=1)
FIELDS = {"kind": "rejected", "version": "", "identity": "i", "record": RECORD, "reason": "why", "facts": {}}
APPEND = """
from penstock.refs import FileRef
from tasks.registry import ledger_store
record = FileRef(name="record.json", sha256="0" * 64, size=1)
for number in range(15):
    fields = dict(kind="rejected", version="", identity="{who}", record=record, reason=str(number), facts={{}})
    ledger_store.append("p", lambda events: fields)
"""


def test_events_are_numbered_and_read_back(checkout):
    first = ledger_store.append("p", lambda events: FIELDS)
    second = ledger_store.append("p", lambda events: FIELDS | {"reason": f"after {len(events)}"})
    assert ledger_store.read_all("p") == [first, second]
    assert (second.sequence, second.reason) == (2, "after 1")
    assert "@" in first.by or "(" in first.by
    assert first.time.endswith("+00:00")


def test_nothing_to_say_appends_nothing(checkout):
    assert ledger_store.append("p", lambda events: None) is None
    assert ledger_store.read_all("p") == []


def test_processes_that_append_at_once_lose_nothing(checkout):
    environment = {**checkout.environment, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND.format(who=who)], cwd=checkout.root, env=environment)
        for who in ("a", "b", "c")
    ]
    assert [writer.wait(PATIENCE) for writer in writers] == [0, 0, 0]
    events = ledger_store.read_all("p")
    assert [event.sequence for event in events] == list(range(1, 46))
    for who in ("a", "b", "c"):
        assert [event.reason for event in events if event.identity == who] == [str(number) for number in range(15)]


@pytest.mark.parametrize("damage", ["half", "empty", "gone"])
def test_a_damaged_ledger_is_not_used(checkout, damage):
    for _ in range(3):
        ledger_store.append("p", lambda events: FIELDS)
    path = checkout.home / "ledger" / "p" / "000002.json"
    text = path.read_text()
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(text[: len(text) // 2] if damage == "half" else "")
    with pytest.raises(StorageError) as caught:
        ledger_store.read_all("p")
    assert "backup" in caught.value.next_step
    with pytest.raises(StorageError):
        ledger_store.append("p", lambda events: FIELDS)


def test_what_an_interrupted_write_left_is_ignored(checkout):
    ledger_store.append("p", lambda events: FIELDS)
    (checkout.home / "ledger" / "p" / ".tmp-abc").write_text("{")
    assert len(ledger_store.read_all("p")) == 1
