"""A file that one machine has made is read on another, whole; copies are bounded, and what only we have is kept."""

from __future__ import annotations

import os

import pytest

from penstock.errors import StorageError
from tasks import copies, shared, store
from tasks.objects import objects
from tasks.settings import settings


@pytest.fixture
def machine(store_of, tmp_path, monkeypatch):
    """Go to another machine: another home, and the same shared store."""

    def go(name: str) -> None:
        monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / name))
        settings.cache_clear()

    monkeypatch.setattr(copies, "_until_next_look", 0)
    go("a")
    return go


def test_what_one_publishes_the_other_reads(machine):
    ref = store.put_bytes(b"precious", "a.bin")
    machine("b")
    assert not store.intact(ref)
    machine("a")
    shared.publish([ref])
    machine("b")
    assert store.intact(ref)
    assert not store.path_of(ref).exists()
    assert store.locate(ref).read_bytes() == b"precious"
    assert store.path_of(ref).stat().st_mode & 0o222 == 0


def test_nothing_is_uploaded_twice(machine, monkeypatch):
    ref = store.put_bytes(b"precious", "a.bin")
    shared.publish([ref])
    monkeypatch.setattr(type(objects()), "upload", lambda *_: pytest.fail("uploaded again"))
    shared.publish([ref])
    machine("b")
    assert store.put_bytes(b"precious", "a.bin") == ref
    shared.publish([ref])


def test_a_record_comes_after_its_files(machine, monkeypatch):
    model, curves = store.put_bytes(b"model", "model.ubj"), store.put_json([1], "curves.json")
    record = store.put_json({"model": model.model_dump(), "more": [{"curves": curves.model_dump()}]}, "record.json")
    order = []
    upload = type(objects()).upload
    monkeypatch.setattr(
        type(objects()), "upload", lambda self, name, path: (order.append(name), upload(self, name, path))
    )
    shared.publish_record(record)
    assert order[-1].endswith(f"{record.sha256}.json")
    assert len(order) == 3
    machine("b")
    assert store.intact(model, curves, record)


def test_a_record_whose_file_is_gone_is_not_published(machine):
    gone = store.put_bytes(b"gone", "x.bin")
    record = store.put_json({"file": gone.model_dump()}, "record.json")
    store.path_of(gone).unlink()
    with pytest.raises(StorageError, match="neither"):
        shared.publish_record(record)
    machine("b")
    assert not store.intact(record)


def test_damage_over_there_is_noticed_and_not_kept(machine):
    ref = store.put_bytes(b"precious", "a.bin")
    objects().write(f"store/{ref.sha256[:2]}/{ref.sha256}.bin", b"precioux")
    machine("b")
    with pytest.raises(StorageError, match="damaged"):
        store.locate(ref)
    assert not store.path_of(ref).exists()


def test_damage_here_is_mended_from_there(machine):
    ref = store.put_bytes(b"precious", "a.bin")
    shared.publish([ref])
    path = store.path_of(ref)
    path.chmod(0o644)
    path.write_bytes(b"precioux")
    assert store.read_bytes(ref) == b"precious"


def test_what_was_there_and_is_gone_is_not_believed_twice(machine):
    ref = store.put_bytes(b"precious", "a.bin")
    shared.publish([ref])
    machine("b")
    assert store.intact(ref)
    lose(ref)
    with pytest.raises(StorageError, match="neither"):
        store.locate(ref)
    assert not store.intact(ref)


def test_copies_are_bounded_and_what_only_we_have_is_kept(machine, monkeypatch):
    refs = [store.put_bytes(bytes([number]) * 1000, "x.bin") for number in range(6)]
    only_here = store.put_bytes(b"!" * 1000, "x.bin")
    shared.publish(refs)
    for age, ref in enumerate([only_here, *refs]):
        old = 1_700_000_000 + age
        os.utime(store.path_of(ref), (old, store.path_of(ref).stat().st_mtime))
    store.locate(refs[0])  # used just now
    monkeypatch.setenv("PENSTOCK_CACHE_GB", "0.000004")
    settings.cache_clear()
    monkeypatch.setattr(copies, "_until_next_look", 0)
    shared.publish([refs[5]])
    assert [store.path_of(ref).exists() for ref in refs] == [True, False, False, False, False, True]
    assert store.path_of(only_here).exists()
    assert store.intact(*refs, only_here)
    assert store.read_bytes(refs[1]) == bytes([1]) * 1000


def lose(ref) -> None:
    name = f"store/{ref.sha256[:2]}/{ref.sha256}.bin"
    found = objects()
    if hasattr(found, "_fs"):
        found._fs.rm_file(found._at(name))
    else:
        found._at(name).unlink()


def test_what_only_reads_leaves_nothing_there_and_appends_nothing(machine):
    known = store.put_bytes(b"precious", "a.bin")
    shared.publish([known])
    machine("b")
    with shared.only_read():
        mine = store.put_bytes(b"of a pull request", "b.bin")
        shared.publish([mine])
        shared.write_note("cache/key", b"{}")
        with pytest.raises(StorageError, match="only read here"):
            shared.publish_record(mine)
        assert store.locate(known).read_bytes() == b"precious"
    machine("c")
    assert not shared.has([mine]) and shared.read_note("cache/key") is None
