"""What a key is made of, and how a difference reads."""

from __future__ import annotations

import pytest

from penstock.errors import StorageError
from penstock.refs import DataFile, Dataset, FileRef, Model
from tasks.machine.settings import settings
from tasks.store.cache_keys import reasons, token
from tasks.store.caching import task


def test_a_ref_counts_by_its_content_alone():
    one = FileRef(name="a.json", sha256="1" * 64, size=1)
    assert token(one) == token(one.model_copy(update={"name": "b.json"})) == {"#": "1" * 64}
    files = (DataFile(path="a.parquet", md5="1", size=1),)
    assert token(Dataset(path="data/a", version="v.dir", files=files)) == {"#": "v.dir"}
    model = Model(booster=one, history=one, best_iteration=3, rounds=9)
    assert token(model) == token(model.model_copy(update={"rounds": 10}))


def test_plain_values_are_themselves_whatever_their_order():
    assert token({"b": (1, None), "a": True}) == token({"a": True, "b": [1, None]}) == {"a": True, "b": [1, None]}
    with pytest.raises(StorageError, match="cannot be a task's argument"):
        token(object())


def test_a_difference_is_told_by_name():
    old = {"inputs": {"dataset": {"#": "1"}, "train": {"rounds": 3, "seed": 7}}, "code": {"a.py": "1"}}
    old |= {"libraries": {"xgboost": "3.1"}, "python": "3.11"}
    new = {"inputs": {"dataset": {"#": "2"}, "train": {"rounds": 4, "seed": 7}}, "code": {"a.py": "2"}}
    new |= {"libraries": {"xgboost": "3.2"}, "python": "3.12"}
    assert reasons(old, old) == ()
    assert set(reasons(old, new)) == {
        "input: dataset changed",
        "config: train.rounds changed (3 -> 4)",
        "code: a.py changed",
        "library: xgboost 3.1 -> 3.2",
        "Python 3.11 -> 3.12",
    }


def test_many_changed_files_are_one_reason():
    old = {"code": {f"{name}.py": "1" for name in "abcd"}, "python": "3.11"}
    new = {"code": {f"{name}.py": "2" for name in "abcd"}, "python": "3.12"}
    assert reasons(old, new) == ("code: 4 files changed, such as a.py", "Python 3.11 -> 3.12")


@task(by_engine=True)
def trained(number: int) -> int:
    return number


@task
def validated(number: int) -> int:
    return number


def test_the_engine_is_in_the_key_of_what_depends_on_it_and_nowhere_when_it_is_this_process(home, monkeypatch):
    def key(of, shards="") -> str:
        monkeypatch.setenv("PENSTOCK_DASK", "tcp://a:8786" if shards else "")
        monkeypatch.setenv("PENSTOCK_DASK_SHARDS", shards or "2")
        settings.cache_clear()
        key, document = of.key({"number": 1})
        assert ("engine" in document) == (of is trained and bool(shards))
        return key

    assert len({key(trained), key(trained, "2"), key(trained, "3")}) == 3
    assert len({key(validated), key(validated, "2"), key(validated, "3")}) == 1


def test_another_engine_is_told_by_name():
    local, two, three = {"python": "3.11"}, {"engine": "Dask, 2 shards"}, {"engine": "Dask, 3 shards"}
    assert reasons(local, local | two) == ("engine: this process -> Dask, 2 shards",)
    assert reasons(two, three) == ("engine: Dask, 2 shards -> Dask, 3 shards",)
    assert reasons(two, {}) == ("engine: Dask, 2 shards -> this process",)
