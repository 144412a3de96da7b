"""What of a shared store is freed, and that nobody who works with it meanwhile loses what they need."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from penstock.errors import ConfigError, StorageError
from tasks.machine.author import author
from tasks.machine.settings import settings
from tasks.operations import garbage_classes, shared_garbage
from tasks.operations.collecting_garbage import forecast, free
from tasks.registry import ledger_store
from tasks.store import caching, known, lease, listed, patience, shared, store
from tasks.store.objects import objects
from tests.conftest import REPOSITORY, empty_store
from tests.machines import DAY, Machines

GRACE = 7 * DAY
RECENT = 30 * DAY


@pytest.fixture(params=["folder", "s3"])
def store_of(request, tmp_path, use_store, monkeypatch):
    """A store in which time can be made to go by: a folder, by its files' times, and S3's test server, by asking it.

    What collecting garbage asks of the other services, `test_objects.py` asks of all of them.
    """
    return empty_store(request, tmp_path, use_store, monkeypatch)


@pytest.fixture
def team(store_of, tmp_path, monkeypatch):
    found = Machines(tmp_path / "machines", monkeypatch)
    found.go("a")
    return found


def publish_event(ref, project="p"):
    """An event whose record names a file."""
    record = store.put_json({"model": ref.model_dump(), "nonce": random.random()}, "record.json")
    fields = {"kind": "rejected", "version": "", "identity": "i", "record": record, "reason": "r", "facts": {}}
    ledger_store.append(project, lambda _: fields)


def publish_result(ref, key):
    """A task's result, as one that ran would publish it."""
    record = {"metadata": {"storage_key": key}, "result": json.dumps(ref.model_dump())}
    store.write_atomic(settings().cache / key, json.dumps(record).encode())
    caching._publish(key, ref)


def gc(days=7.0):
    """How many things went, by kind."""
    asked = garbage_classes.sought(5, RECENT, time.time())
    return Counter(item.kind for item in shared_garbage.free(asked, days * DAY) if not item.why)


def counts(found):
    return {one.name: one.count for one in found.accounts if one.name.startswith("shared") and one.count}


def there(ref):
    return any(ref.sha256 in entry.name for entry in objects().entries("store"))


def test_what_nothing_needs_is_listed_first_and_goes_a_grace_period_later(team):
    needed, used, lost = (store.put_bytes(name, "x.bin") for name in (b"needed", b"used", b"lost"))
    publish_event(needed)
    publish_result(used, "step-1")
    shared.publish([lost])
    assert gc() == {}
    assert not objects().entries(listed.FOLDER)  # it is too young to be listed
    team.sleep(8)
    assert gc() == {}
    assert there(lost)
    team.sleep(6)
    assert gc() == {}
    team.sleep(2)
    said = forecast(5, RECENT, GRACE)
    assert counts(said) == {"shared files": 1}
    assert said.size == len(b"lost")
    assert "next:  penstock gc --shared --yes frees them" in str(said)
    assert free(5, RECENT, GRACE) == said.model_copy(update={"freed": True})
    assert [there(ref) for ref in (needed, used, lost)] == [True, True, False]
    assert gc() == {}


def test_a_forecast_writes_nothing(team):
    shared.publish([store.put_bytes(b"lost", "x.bin")])
    team.sleep(8)
    before = objects().entries(".")
    assert "not needed" in str(forecast(5, RECENT, GRACE))
    assert objects().entries(".") == before


def test_a_result_that_no_run_has_used_goes_before_its_file(team, monkeypatch):
    one, other = store.put_bytes(b"one", "x.bin"), store.put_bytes(b"other", "x.bin")
    publish_result(one, "step-1")
    publish_result(other, "step-2")
    team.sleep(31)
    team.go("b")
    assert caching.recall("step-2") == other.model_dump()
    caching._publish("step-2", other)  # as a run does that uses it
    gc()
    team.sleep(8)
    order = []
    delete = type(objects()).delete
    monkeypatch.setattr(type(objects()), "delete", lambda self, name: (order.append(name), delete(self, name)))
    assert gc() == {"shared results": 1, "shared files": 1}
    gone = [name for name in order if not name.startswith("garbage")]
    assert gone[0] == "cache/step-1"
    assert one.sha256 in gone[1]
    assert there(other)


def test_what_is_used_again_after_it_was_listed_stays(team):
    lost, again = store.put_bytes(b"lost", "x.bin"), store.put_bytes(b"again", "x.bin")
    shared.publish([lost, again])
    team.sleep(8)
    gc()
    team.go("b")
    publish_event(store.put_bytes(b"again", "y.bin").model_copy(update={"name": "x.bin"}))
    team.sleep(8)
    team.go("a")
    assert gc() == {"shared files": 1}
    assert [there(ref) for ref in (lost, again)] == [False, True]


def test_what_was_seen_long_ago_is_not_believed_to_be_there(team):
    ref = store.put_bytes(b"precious", "x.bin")
    shared.publish([ref])
    team.sleep(8)
    team.go("b")
    gc()
    team.sleep(8)
    assert gc() == {"shared files": 1}
    team.go("a")  # it has the file, and has seen it over there
    publish_event(ref)
    assert there(ref)


ANOTHER = """
import sys
from tasks.registry import ledger_store; from tasks.store import store
ref = store.put_bytes(b"wanted", "x.bin")
record = store.put_json({"model": ref.model_dump()}, "record.json")
fields = dict(kind="rejected", version="", identity="i", record=record, reason="r", facts={})
ledger_store.append("p", lambda _: fields)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_one_sweeps_while_another_refers_to_what_is_about_to_go(team, monkeypatch, killed):
    """It has written the file again, and after that the sweeper, which looked before, deletes it."""
    wanted = store.put_bytes(b"wanted", "x.bin")
    shared.publish([wanted])
    team.sleep(8)
    gc()
    team.sleep(8)
    environment = os.environ | {"PENSTOCK_HOME": str(team.folder / "b"), "PYTHONPATH": str(REPOSITORY)}
    name = next(entry.name for entry in objects().entries("store"))
    delete, others = type(objects()).delete, []

    def late(self, which):
        if which == name and not others:
            old = objects().modified(name)
            others.append(subprocess.Popen([sys.executable, "-c", ANOTHER], env=environment))
            end = time.monotonic() + 60
            while listed.is_unchanged(objects().modified(name), old):
                assert time.monotonic() < end
                time.sleep(0.05)
            time.sleep(1.0)
            assert others[0].poll() is None  # it waits for us
            delete(self, which)
            if killed:  # and says nothing of it
                patch.setattr(lease.Lease, "write", lambda *_, **__: None)
                raise KeyboardInterrupt
            return
        delete(self, which)

    with monkeypatch.context() as patch:
        patch.setattr(type(objects()), "delete", late)
        with pytest.raises(KeyboardInterrupt) if killed else contextlib.nullcontext():
            gc()
    if killed:
        team.sleep(1.1 * lease.SECONDS / DAY)
    assert others[0].wait(60) == 0
    assert len(ledger_store.read_all("p")) == 1
    assert there(wanted)


def test_one_machine_at_a_time(team, monkeypatch):
    with lease.held():
        with pytest.raises(StorageError, match="Another process") as caught:
            gc()
        assert author() in caught.value.found
    gc()
    began = lease.elapsed()
    with lease.held() as slept:
        team.sleep(lease.SECONDS / DAY - 0.0001)
        with pytest.raises(StorageError), lease.held():
            pass
        team.sleep(0.001)
        with lease.held() as mine:
            assert mine.number == slept.number + 1
            monkeypatch.setattr(lease, "elapsed", lambda: began + lease.SECONDS)
            with pytest.raises(StorageError, match="away for too long"):
                slept.require()


def test_of_those_who_want_an_old_lease_one_gets_it(team):
    with lease.held():
        team.sleep(1)
        code = "from tasks.store import lease\nwith lease.held(): print('mine', flush=True); input()"
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        others = [
            subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=-1, stdout=-1, stderr=-1, text=True)
            for _ in range(3)
        ]
        said = [other.stdout.readline().strip() for other in others]
        ends = [other.communicate("\n", timeout=60)[1] for other in others]
    assert sorted(said) == ["", "", "mine"]
    assert sum("Another process is collecting" in end for end in ends) == 2


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_store_that_is_lost_in_the_middle_loses_nothing_else(network, use_store, tmp_path, monkeypatch, after):
    use_store(f"s3://team/{tmp_path.name}")
    team = Machines(tmp_path / "machines", monkeypatch)
    team.go("a")
    needed = store.put_bytes(b"needed", "x.bin")
    publish_event(needed)
    lost = [store.put_bytes(b"%d" % number, "x.bin") for number in range(5)]
    for number, ref in enumerate(lost):
        publish_result(ref, f"step-{number}")
    team.sleep(31)
    gc()
    team.sleep(8)
    deleted, delete, one_by_one = [], type(objects()).delete, threading.Lock()

    def cut(self, name):
        with one_by_one:
            if len(deleted) >= after and network.mode == "fine":
                network.become("refused")
        delete(self, name)
        deleted.append(name)

    with monkeypatch.context() as patch, patience.within(0.5):
        patch.setattr(type(objects()), "delete", cut)
        patch.setattr("tasks.operations.shared_garbage.SHORT", 0.5)
        with pytest.raises(StorageError, match="has not answered"):
            gc()
    network.become("fine")
    team.sleep(1.1 * lease.SECONDS / DAY)  # nobody gave the lease back
    left = {entry.name for entry in objects().entries("cache")}
    kept = {f"cache/step-{number}" for number, ref in enumerate(lost) if there(ref)}
    assert left <= kept  # no result whose file is gone
    gc()
    assert [there(ref) for ref in (needed, *lost)] == [True] + [False] * 5
    assert not objects().entries("cache")


def test_a_damaged_record_frees_nothing(team):
    ref = store.put_bytes(b"needed", "x.bin")
    publish_event(ref)
    shared.publish([store.put_bytes(b"lost", "x.bin")])
    team.sleep(8)
    gc()
    team.sleep(8)
    record = next(entry.name for entry in objects().entries("store") if entry.name.endswith(".json"))
    objects().write(record, b"{}")
    team.go("b")
    before = objects().entries("store")
    with pytest.raises(StorageError, match="damaged"):
        gc()
    assert objects().entries("store") == before


def test_what_cannot_be_asked_for(team, monkeypatch):
    with pytest.raises(ConfigError, match="too short"):
        free(5, RECENT, DAY)
    monkeypatch.delenv("PENSTOCK_STORE")
    settings.cache_clear()
    with pytest.raises(ConfigError, match="Nothing is shared"):
        forecast(5, RECENT, GRACE)


def test_a_note_that_nobody_would_read_is_not_written(team):
    with pytest.raises(ValueError, match="nobody would look"):
        shared.write_note("novel/x", b"")


def test_a_memory_of_before_is_not_believed(team):
    ref = store.put_bytes(b"x", "x.bin")
    name = shared._name(ref)
    with store.database() as memory:
        memory.execute("CREATE TABLE shared (place TEXT, name TEXT, PRIMARY KEY (place, name))")
        memory.execute("INSERT INTO shared VALUES (?, ?)", (settings().copies.name, name))
        memory.commit()
    assert known.among([name]) == set()
    assert known.ever([name]) == {name}
    shared.publish([ref])
    assert there(ref)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_has_happened_what_events_name_is_there(tmp_path, monkeypatch, seed):
    chance = random.Random(seed)
    (tmp_path / "mounted").mkdir()
    monkeypatch.setenv("PENSTOCK_ROOT", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_STORE", str(tmp_path / "mounted"))
    team, named, freed = Machines(tmp_path / "machines", monkeypatch), [], 0
    for number in range(120):
        content = number // 20 * 2 + chance.randrange(2)  # after a while, of others
        team.go("ab"[chance.randrange(2)])
        ref = store.put_bytes(b"%d" % content, "x.bin")
        kind = chance.choice(["file", "result"] * 2 + ["gc"] * 6 + ["event"])
        if kind == "file":
            shared.publish([ref])
        elif kind == "result":
            publish_result(ref, f"step-{content}")
        elif kind == "event":
            publish_event(ref)
            named.append(ref)
        else:
            freed += sum(gc(2).values())
        for ref in named:
            assert there(ref), number
        team.sleep(chance.choice([0, 3, 3, 40]))
    assert freed
    settings.cache_clear()
