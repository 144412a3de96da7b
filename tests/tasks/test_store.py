"""Files under their hash: whole or not at all, and never taken for what they are not."""

from __future__ import annotations

import errno
import os

import pytest
from pydantic import ValidationError

from penstock.errors import StorageError
from penstock.refs import FileRef
from tasks.store import store


def test_equal_content_is_one_object(checkout):
    first, second = store.put_bytes(b"same", "a.bin"), store.put_bytes(b"same", "a.bin")
    assert first == second
    assert store.read_bytes(first) == b"same"
    assert store.locate(first).stat().st_mode & 0o222 == 0


def test_equal_values_are_one_json_object(checkout):
    assert store.put_json({"a": 1, "b": 2}, "x.json") == store.put_json({"b": 2, "a": 1}, "x.json")


def test_nan_is_not_json(checkout):
    with pytest.raises(ValueError):
        store.put_json({"a": float("nan")}, "x.json")


@pytest.mark.parametrize("damage", ["flipped", "truncated", "gone"])
def test_a_damaged_object_is_noticed_and_made_again(checkout, damage):
    ref = store.put_bytes(b"precious", "a.bin")
    path = store.locate(ref)
    path.chmod(0o644)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"precioux" if damage == "flipped" else b"prec")
    assert not store.intact(ref)
    with pytest.raises(StorageError, match="missing or damaged"):
        store.read_bytes(ref)
    assert store.put_bytes(b"precious", "a.bin") == ref
    assert store.read_bytes(ref) == b"precious"


def test_an_interrupted_write_leaves_nothing(checkout):
    with pytest.raises(RuntimeError), store.new_file("a.bin") as draft:
        draft.path.write_bytes(b"half")
        raise RuntimeError("the power went out")
    assert not [path for path in (checkout.home / "store").rglob("*") if path.is_file() and path.suffix == ".bin"]


def test_a_full_disk_is_an_error_with_a_next_step(checkout, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        store.put_bytes(b"x", "a.bin")
    assert "No space left" in caught.value.what
    assert "free some space" in caught.value.next_step
    monkeypatch.undo()
    assert not list((checkout.home / "store").rglob("*.bin"))


def test_a_home_that_cannot_be_written_names_the_setting(checkout, monkeypatch):
    from tasks.machine.settings import settings

    monkeypatch.setenv("PENSTOCK_HOME", "/proc/penstock")  # not even root can write there
    settings.cache_clear()
    with pytest.raises(StorageError) as caught:
        store.put_bytes(b"x", "a.bin")
    assert "PENSTOCK_HOME" in caught.value.next_step


def test_exclusive_write_refuses_a_name_that_is_taken(tmp_path):
    store.write_atomic(tmp_path / "1.json", b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        store.write_atomic(tmp_path / "1.json", b"second", exclusive=True)
    assert (tmp_path / "1.json").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["1.json"]


def test_a_hash_is_remembered_until_the_file_changes(checkout):
    path = checkout.root / "file"
    path.write_bytes(b"one")
    calls = []

    def compute() -> int:
        calls.append(1)
        return len(calls)

    assert store.remembered("test", path, compute) == store.remembered("test", path, compute) == 1
    path.write_bytes(b"two!")
    assert store.remembered("test", path, compute) == 2


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n"])
def test_a_name_that_is_no_hash_names_no_file(sha256):
    with pytest.raises(ValidationError, match="sha256"):
        FileRef(name="x.bin", sha256=sha256, size=1)
