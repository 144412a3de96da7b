"""A shared store that is away or damaged: what goes on without it does, and nothing waits or loops for ever."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from penstock.desired import Desired, Note, Route
from penstock.errors import PlatformError, RolloutError, StorageError, UnreachableError
from penstock.refs import FileRef
from tasks.machine.settings import of_shared_store, settings
from tasks.operations import garbage_classes
from tasks.registry import ledger_store
from tasks.rollout import rollback, rollout, settle
from tasks.serving import serving
from tasks.store import shared, store
from tasks.store.objects import Folder
from tests.conftest import REPOSITORY


def away(*_: object) -> None:
    raise UnreachableError("The shared store has not answered for 5 s.")


@pytest.fixture
def machine(tmp_path, use_store, monkeypatch):
    """Go to a machine: a home of its own, and a folder that all share."""
    (tmp_path / "mounted").mkdir()
    monkeypatch.setenv("PENSTOCK_ROOT", str(REPOSITORY))

    def go(name: str) -> None:
        monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / name))
        use_store(str(tmp_path / "mounted"))

    go("a")
    return go


def fields(reason: str) -> dict:
    record = store.put_json({"of": reason}, "record.json")
    return {"kind": "rejected", "version": "", "identity": "i", "record": record, "reason": reason, "facts": {}}


def test_a_store_that_is_back_before_it_is_told_is_read_again(machine, monkeypatch):
    """Read while it was away, written when it is back, and meanwhile another machine has taken the number."""
    ledger_store.append("p", lambda _: fields("first"))
    machine("b")
    ledger_store.append("p", lambda events: fields("of another"))
    machine("a")
    names, asked = Folder.names, []

    def blinking(self, folder):
        asked.append(folder)
        if len(asked) == 1:
            away()
        assert len(asked) < 5, "it goes round in circles"
        return names(self, folder)

    made = []

    def make(events):
        made.append(len(events))
        assert len(made) < 5, "it goes round in circles"
        return fields("ours")

    monkeypatch.setattr(Folder, "names", blinking)
    with ledger_store.at_hand():
        event = ledger_store.append("p", make)
    assert (event.sequence, made) == (3, [1, 2])


def test_a_project_that_cannot_be_settled_keeps_no_other_waiting(machine, monkeypatch, caplog):
    notes = (Note(change="c", kind="stopped", version="v", reason="r"),)
    monkeypatch.setattr(serving, "read", lambda: Desired(untold={"a": notes, "b": notes}))

    def one(project):
        if project == "a":
            raise StorageError("The ledger has a gap: an event's file is missing.")
        return [project]

    monkeypatch.setattr(settle, "settle", one)
    assert settle.settle_all() == (["b"], False)
    assert "a: The ledger has a gap" in caplog.text


@pytest.mark.parametrize("refused", [False, True])
def test_a_withdrawal_ends_with_its_own_verdict(machine, monkeypatch, refused):
    def change(edit, insist):
        if refused:
            raise PlatformError("An Envoy does not follow.")

    monkeypatch.setattr(serving, "change", change)
    monkeypatch.setattr(serving, "retire", lambda project, keep: [])
    monkeypatch.setattr(serving, "read", lambda: Desired(production={"p": Route(champion="p-v1")}))
    monkeypatch.setattr(rollout, "tell_untold", away)
    monkeypatch.setattr(ledger_store, "_fetch_new", away)
    made = SimpleNamespace(plan=SimpleNamespace(project="p", champion="p-v1"), withdrawn=None)
    if refused:
        with pytest.raises(PlatformError, match="does not follow"):
            rollout.withdraw(made, "failed", ("worse",))
    else:
        assert rollout.withdraw(made, "failed", ("worse",)) == "p-v1"


def test_where_a_rollback_leads_is_told_without_the_store(machine, monkeypatch):
    monkeypatch.setattr(serving, "read", lambda: Desired(production={"p": Route(champion="p-v1")}))
    monkeypatch.setattr(ledger_store, "_fetch_new", away)
    with pytest.raises(RolloutError, match="no release that `p` could go back to"):
        rollback.plan_rollback("p")


def test_a_copy_that_another_process_has_fetched_meanwhile_stays(machine, monkeypatch):
    ref = store.put_bytes(b"precious", "a.bin")
    shared.publish([ref])
    is_here, asked = store.is_here, []

    def late(ref):
        asked.append(ref)
        return len(asked) > 1 and is_here(ref)

    monkeypatch.setattr(store, "is_here", late)
    assert store.intact(ref)
    assert store.path_of(ref).read_bytes() == b"precious"


def test_what_is_kept_alive_is_told_where_the_store_is(machine, monkeypatch):
    """Supervisord may have been started before there was one: its own environment does not say."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "precious")
    told = serving._beside("warden", "tasks.rollout.warden").environment
    assert told["PENSTOCK_STORE"] == settings().shared
    assert told["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert "AWS_SECRET_ACCESS_KEY" not in told
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.setenv(name, "there")
        assert of_shared_store()[name] == "there"
    for name in ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN"):
        monkeypatch.setenv(name, "precious")
        assert "precious" not in of_shared_store().values()
    monkeypatch.delenv("PENSTOCK_STORE")
    settings.cache_clear()
    assert of_shared_store() == {"PENSTOCK_STORE": ""}


def test_a_package_that_nobody_has_does_not_keep_gc_from_its_work(machine, monkeypatch):
    gone = FileRef(name="bento.tar", sha256="0" * 64, size=1)
    candidate = SimpleNamespace(package=SimpleNamespace(bento=gone))
    monkeypatch.setattr(garbage_classes, "_releases", lambda asked: [(candidate, "p-v1")])
    (settings().home / "environments" / "3.11-abc").mkdir(parents=True)
    asked = garbage_classes.Sought(keep=1, now=1e12, before=1e12, events={}, desired=Desired())
    assert [(item.name[-8:], item.why) for item in garbage_classes.environments(asked)] == [("3.11-abc", "")]
