"""A file that one machine has made is read on another, whole; copies are bounded, and what only we have is kept."""

from __future__ import annotations

import os
import shutil

import pytest

from penstock.desired import Desired, Server, with_server
from penstock.errors import StorageError
from penstock.release_config import LogConfig
from tasks.machine.settings import settings
from tasks.registry.registry import register
from tasks.registry.releases import tell
from tasks.serving import serving
from tasks.store import copies, listed, patience, shared, store
from tasks.store.objects import objects
from tests.candidates import made
from tests.conftest import TINY


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


@pytest.fixture
def full(machine, monkeypatch):
    """Have everything be old, and more than there may be."""

    def make() -> None:
        for path in settings().store.glob("??/*"):
            os.utime(path, (1_700_000_000, path.stat().st_mtime))
        monkeypatch.setenv("PENSTOCK_CACHE_GB", "0.000000001")
        settings.cache_clear()
        monkeypatch.setattr(copies, "_until_next_look", 0)
        copies.keep_within_bounds(1)

    return make


@pytest.mark.parametrize("how", ["lost", "other", "listed"])
def test_a_copy_goes_only_if_the_shared_store_has_it_now(full, how):
    ref, other = store.put_bytes(b"precious", "x.bin"), store.put_bytes(b"other", "x.bin")
    shared.publish([ref, other])
    if how == "lost":
        lose(ref)
    elif how == "other":
        objects().write(shared._name(ref), b"half of it")
    else:
        going = listed.List(objects={shared._name(ref): 1.0})
        objects().write(f"{listed.FOLDER}/000001.json", going.model_dump_json().encode())
    full()
    assert store.path_of(ref).exists()
    assert not store.path_of(other).exists()
    assert objects().read(shared._name(ref)) == b"precious"


@pytest.mark.parametrize("store_of", ["s3"], indirect=True)
def test_no_copy_goes_while_the_store_is_away(full, network, use_store, tmp_path):
    use_store(f"s3://team/{tmp_path.name}-away")
    ref = store.put_bytes(b"precious", "x.bin")
    shared.publish([ref])
    network.become("refused")
    with patience.within(0.2):
        full()
    assert store.path_of(ref).exists()


def test_what_serves_what_a_rollback_leads_to_and_what_only_we_name_stays(machine, full, tmp_path):
    shutil.copytree(TINY / "configs", tmp_path / "configs")
    found = {}
    for version in ("tiny-v1", "tiny-v2", "tiny-v3"):
        package = made(version).package.model_copy(update={"bento": store.put_bytes(version.encode(), "bento.tar")})
        register(made(version).model_copy(update={"package": package}))
        found[version] = package
    tell("tiny", "promoted", "tiny-v1", "")
    tell("tiny", "healthy", "tiny-v1", "")
    serving._saved(with_server(Desired(), Server(
        version="tiny-v2", project="tiny", package=found["tiny-v2"], max_body_bytes=1, log=LogConfig(), workers=1,
        memory_mb=1,
    )))  # fmt: skip
    window, result = store.put_bytes(b"rows of a window", "x.parquet"), store.put_bytes(b"a result", "x.parquet")
    shared.publish([window, result, *(package.bento for package in found.values())])
    store.write_atomic(settings().home / "windows" / "tiny" / "000001.json", window.model_dump_json().encode())
    full()
    here = [store.path_of(found[version].bento).exists() for version in sorted(found)]
    assert here == [True, True, False]
    assert [store.path_of(ref).exists() for ref in (window, result)] == [True, False]
    assert store.intact(found["tiny-v3"].bento, result)


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
