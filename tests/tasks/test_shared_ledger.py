"""One ledger for several machines: no event lost, none twice, no gap, and an order that all of them see."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from penstock.errors import StorageError
from tasks.machine.settings import settings
from tasks.registry import ledger_store
from tasks.store import bucket, shared, store
from tasks.store.objects import objects
from tests.conftest import REPOSITORY

APPEND = """
import sys
from tasks.registry import ledger_store; from tasks.store import store
who, count = sys.argv[1], int(sys.argv[2])
record = store.put_json({"by": who}, "record.json")
sys.stdin.readline()  # both begin at once
for number in range(count):
    fields = dict(kind="rejected", version="", identity=who, record=record, reason=str(number), facts={})
    ledger_store.append("p", lambda events: fields)
"""


@pytest.fixture
def machine(tmp_path, cloud, use_store, monkeypatch):
    """Go to a machine: a home of its own, and the shared store at ``url``."""

    def go(name: str, url: str = cloud.url(tmp_path.name)) -> None:
        monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / name))
        use_store(url)

    return go


def fields(reason: str = "why") -> dict:
    record = store.put_json({"of": reason}, "record.json")
    return {"kind": "rejected", "version": "", "identity": "i", "record": record, "reason": reason, "facts": {}}


def test_each_sees_what_the_other_appended(cloud, machine, tmp_path):
    machine("a")
    first = ledger_store.append("p", lambda _: fields("a"))
    machine("b")
    second = ledger_store.append("p", lambda events: fields(f"b after {len(events)}"))
    assert (second.sequence, second.reason) == (2, "b after 1")
    machine("a")
    assert ledger_store.read_known("p") == [first]
    assert ledger_store.read_all("p") == ledger_store.read_known("p") == [first, second]
    assert store.read_json(second.record) == {"of": "b after 1"}
    assert first.host != second.host
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept and not [content for content in kept if cloud.secret.encode() in content]


def test_two_processes_append_at_once(cloud, machine, tmp_path):
    each, writers = 50 if cloud.kind == "s3" else 20, []
    for who in ("a", "b"):
        environment = os.environ | {"PENSTOCK_HOME": str(tmp_path / who), "PYTHONPATH": str(REPOSITORY)}
        environment |= {"PENSTOCK_ROOT": str(tmp_path), "PENSTOCK_STORE": cloud.url(tmp_path.name)}
        command = [sys.executable, "-c", APPEND, who, str(each)]
        writers.append(subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True))
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [writer.wait(120) for writer in writers] == [0, 0]
    machine("c")
    events = ledger_store.read_all("p")
    assert [event.sequence for event in events] == list(range(1, 2 * each + 1))
    assert len({event.id for event in events}) == 2 * each
    for who in ("a", "b"):
        assert [event.reason for event in events if event.identity == who] == [str(number) for number in range(each)]


def test_an_answer_that_was_lost_is_no_lost_race(cloud_network, machine, monkeypatch):
    """The event is written and the answer does not arrive; the second try finds the number taken, by itself."""
    machine("a")
    ledger_store.append("p", lambda _: fields("first"))
    again = fields("second")
    shared.publish_record(again["record"])
    create, taken = bucket.Bucket._create, []

    def watched(self, name, content):
        cloud_network.away("deaf", 1.0)
        try:
            create(self, name, content)
        except FileExistsError:
            taken.append(name)
            raise

    monkeypatch.setattr(bucket.Bucket, "_create", watched)
    event = ledger_store.append("p", lambda _: again)
    assert taken == ["ledger/p/000002.json"]
    assert ledger_store.read_all("p")[1:] == [event]


def test_a_plain_copy_of_a_home_is_a_shared_store(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "alone"))
    settings.cache_clear()
    before = [ledger_store.append("p", lambda _, number=number: fields(str(number))) for number in range(3)]
    machine("alone")
    for path in (tmp_path / "alone" / "ledger").rglob("*.json"):
        objects().upload(f"ledger/{path.relative_to(tmp_path / 'alone' / 'ledger')}", path)
    machine("b")
    assert ledger_store.read_all("p") == before


def test_a_ledger_that_lost_an_event_is_not_used(machine):
    machine("a")
    for number in range(3):
        ledger_store.append("p", lambda _, number=number: fields(str(number)))
    found = objects()
    found._fs.rm_file(found._at("ledger/p/000002.json"))
    with pytest.raises(StorageError, match="has lost an event") as caught:
        ledger_store.read_all("p")
    assert "000002.json" in caught.value.where
    machine("b")
    with pytest.raises(StorageError, match="gap"):
        ledger_store.append("p", lambda _: fields())


def test_an_event_whose_record_is_nowhere_is_not_appended(machine):
    machine("a")
    wanted = fields("gone")
    store.path_of(wanted["record"]).unlink()
    with pytest.raises(StorageError, match="neither"):
        ledger_store.append("p", lambda _: wanted)
    assert ledger_store.read_all("p") == []


def test_a_folder_keeps_a_ledger_too(home, machine, tmp_path):
    (tmp_path / "mounted").mkdir()
    machine("a", str(tmp_path / "mounted"))
    ledger_store.append("p", lambda _: fields("a"))
    machine("b", str(tmp_path / "mounted"))
    ledger_store.append("p", lambda _: fields("b"))
    machine("a", str(tmp_path / "mounted"))
    assert [event.reason for event in ledger_store.read_all("p")] == ["a", "b"]
