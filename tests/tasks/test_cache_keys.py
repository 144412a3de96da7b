"""What a key is made of, and how a difference reads."""

from __future__ import annotations

import pytest

from penstock.errors import StorageError
from penstock.refs import DataFile, Dataset, FileRef, Model
from tasks.cache_keys import reasons, token


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
