"""A machine stays the same one when its hostname changes, and for events from before it had an id."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock import ledger
from penstock.desired import Desired
from penstock.errors import StorageError
from penstock.garbage import protected
from penstock.host import Host
from tasks.machine.settings import settings
from tasks.registry import ended, ledger_store
from tasks.store import host, store


@pytest.fixture
def place(tmp_path, use_store):
    (tmp_path / "mounted").mkdir()
    use_store(str(tmp_path / "mounted"))
    return tmp_path


def append(kind, version, **more):
    fields = {"kind": kind, "version": version, "identity": version, "reason": "r", "facts": {}}
    record = store.put_json({"of": version}, "record.json")
    return ledger_store.append("tiny", lambda _: fields | {"record": record} | more)


def test_whoever_shares_nothing_has_no_name_and_no_file(home):
    assert str(host.own()) == ""
    assert host.own().wrote("")
    assert not home.exists()


def test_a_container_that_starts_under_another_name_is_the_same_machine(place, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "5d3f")
    first = append("promoted", "tiny-v1")
    monkeypatch.setattr(socket, "gethostname", lambda: "a771")
    assert str(host.own()).startswith(f"a771:{settings().home}#")
    assert ledger.serving_on(ledger_store.read_all("tiny"), host.own()) == first


def test_another_home_is_another_machine(place, monkeypatch):
    first = append("promoted", "tiny-v1")
    monkeypatch.setenv("PENSTOCK_HOME", str(place / "other"))
    settings.cache_clear()
    assert ledger.serving_on(ledger_store.read_all("tiny"), host.own()) is None
    assert not host.own().wrote(first.host)


def test_events_from_before_there_were_ids_are_of_the_machine_that_was_called_so(place, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "before")
    old = f"before:{settings().home}"
    assert host.own().wrote(old)
    assert not host.own().wrote("other:/home")
    monkeypatch.setattr(socket, "gethostname", lambda: "after")
    assert host.own().wrote(old)
    assert not host.own().wrote(f"{old}#{'0' * 12}")  # another machine, which happens to be called so


def test_of_several_processes_one_draws_the_id(place):
    with ThreadPoolExecutor(16) as pool:
        assert len({one.id for one in pool.map(lambda _: host.own(), range(64))}) == 1


@pytest.mark.parametrize("text", ["", "[]", '{"id": 1}', '{"id": 1, "name": "x"}', '{"id": "me", "name": "x"}'])
def test_a_damaged_file_is_said(place, text):
    store.write_atomic(settings().home / "host.json", text.encode())
    with pytest.raises(StorageError, match="which machine") as caught:
        host.own()
    assert "host.json" in caught.value.where


def test_what_serves_on_any_machine_is_protected():
    hosts = {"tiny-v1": "a:/h#000000000001", "tiny-v2": "b:/h#000000000002", "tiny-v3": ""}
    common = {"project": "tiny", "by": "me", "reason": "", "facts": {}, "time": "2026-01-01T00:00:00+00:00"}
    common["record"] = {"name": "f", "sha256": "0" * 64, "size": 1}
    events = [
        ledger.Event(sequence=n, kind=kind, version=version, identity=version, host=hosts[version], **common)
        for n, (kind, version) in enumerate(
            [(kind, version) for kind in ("registered", "promoted") for version in ("tiny-v1", "tiny-v2")]
            + [("registered", "tiny-v3")], 1
        )
    ]  # fmt: skip
    assert ledger.serving_on(events, Host(id="000000000001")).version == "tiny-v1"
    assert ledger.serving(events).version == "tiny-v2"
    found = protected(events, Desired(), keep=1)
    assert {version for version, why in found.items() if why == "it serves"} == {"tiny-v1", "tiny-v2"}


def test_the_end_of_a_blessing_is_told_of_what_serves_here(place, monkeypatch):
    append("forced", "tiny-v1", facts={"by": "ann", "until": "2020-01-01", "reason": "r", "failed": "auc"})
    append("promoted", "tiny-v1")
    monkeypatch.setenv("PENSTOCK_HOME", str(place / "other"))
    settings.cache_clear()
    append("registered", "tiny-v2")
    append("promoted", "tiny-v2")
    assert ended.tell_expired("tiny") is None
    monkeypatch.setenv("PENSTOCK_HOME", str(place / "home"))
    settings.cache_clear()
    told = ended.tell_expired("tiny")
    assert told is not None
    assert (told.kind, told.version) == ("expired", "tiny-v1")
    assert json.loads(told.model_dump_json())["host"] == str(host.own())
