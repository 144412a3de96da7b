"""The label ledger's files: what is recorded once is never counted twice, whatever happens between two writes."""

from __future__ import annotations

import shutil
import subprocess
import sys

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from penstock.errors import DataError, StorageError
from penstock.label_config import LabelsConfig
from penstock.label_rows import Given
from tasks.monitoring import label_store
from tests.waiting import PATIENCE

CONFIG = LabelsConfig()
APPEND = """
import os, sys
import polars as pl
from penstock.label_config import LabelsConfig
from penstock.label_rows import Given
from tasks.monitoring import label_store; from tasks.store import store
whole, count = store.write_atomic, 0
def killed(*args, **kwargs):
    global count
    if count == {before}: os._exit(9)
    whole(*args, **kwargs)
    count += 1
    if count == {after}: os._exit(9)
store.write_atomic = killed
names = list("abcdefghijklmno"[:{count}])
rows = pl.DataFrame({{"request_id": names, "row": "0", "label": [name != "c" for name in names]}})
for one in rows.iter_slices({rows}):
    label_store.append("p", Given(one, 0, True), LabelsConfig(), "f.csv")
"""


def batch(labels: dict[str, bool]) -> Given:
    kinds = {"request_id": pl.String, "row": pl.String, "label": pl.Boolean}
    rows = {"request_id": sorted(labels), "row": "0", "label": [labels[key] for key in sorted(labels)]}
    return Given(pl.DataFrame(rows, schema=kinds), 0, True)


def add(labels: dict[str, bool], again: bool = False, config: LabelsConfig = CONFIG):
    return label_store.append("p", batch(labels), config, "f.csv", again)


def counts() -> dict[str, bool]:
    state = label_store.state("p", CONFIG.key)
    return dict(zip(state["request_id"], state["label"], strict=True))


def process(checkout, before: int = -1, after: int = -1, rows: int = 3, count: int = 3) -> subprocess.Popen:
    environment = {**checkout.environment, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    code = APPEND.format(before=before, after=after, rows=rows, count=count)
    return subprocess.Popen([sys.executable, "-c", code], cwd=checkout.root, env=environment)


steps = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("abcd"), st.booleans(), min_size=1), st.booleans()), max_size=7
)


@given(steps)
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_batches_repeats_and_corrections_is_a_dictionary_that_is_updated(checkout, many):
    shutil.rmtree(checkout.home / "labels", ignore_errors=True)
    model: dict[str, bool] = {}
    seen: list[dict[str, bool]] = []
    for labels, again in many:
        found = add(labels, again)
        if labels in seen and not again:
            assert (found.new, found.corrected, bool(found.again)) == (0, 0, True)
            assert found.overruled == sum(model[key] != label for key, label in labels.items())
        else:
            assert found.new == len(labels.keys() - model.keys())
            assert found.corrected == sum(key in model and model[key] != label for key, label in labels.items())
            assert found.new + found.corrected + found.unchanged == len(labels)
            model |= labels
            seen.append(labels)
        assert counts() == model
    assert label_store.new_since("p", CONFIG.key, "") >= len(model)


def test_the_same_file_twice_is_recorded_once(checkout):
    add({"a": True, "b": False})
    again = add({"b": False, "a": True})
    assert again.again and "nothing new" in str(again)
    assert len(label_store.read_entries("p")) == 1


def test_a_label_that_was_corrected_stays_so_until_somebody_means_the_old_one_anew(checkout):
    add({"a": True})
    assert add({"a": False}).corrected == 1
    found = add({"a": True})
    assert (counts(), found.overruled) == ({"a": False}, 1) and "--again" in str(found)
    add({"a": True}, again=True)
    assert counts() == {"a": True}


def test_a_growing_export_costs_what_is_new_in_it(checkout):
    add({"a": True})
    add({"a": True, "b": True})
    assert [(one.new, one.unchanged) for one in label_store.read_entries("p")] == [(1, 0), (1, 1)]
    assert [pl.read_parquet(path).height for path in (checkout.home / "labels" / "p" / "batches").iterdir()] == [1, 1]


def test_corrections_may_be_refused(checkout):
    config = CONFIG.model_copy(update={"corrections": "refuse"})
    add({"a": True, "b": True}, config=config)
    with pytest.raises(DataError) as caught:
        add({"a": True, "b": False, "c": True}, config=config)
    assert caught.value.found == "request_id b, row 0"
    assert counts() == {"a": True, "b": True}
    assert add({"b": True, "c": True}, config=config).new == 1


def test_labels_by_other_keys_are_kept_and_match_nothing(checkout):
    add({"a": True})
    keys = LabelsConfig(by="keys", key_columns=("id",))
    rows = pl.DataFrame({"id": ["a"], "label": [False]})
    label_store.append("p", Given(rows, 0, True), keys, "f.csv")
    assert counts() == {"a": True}
    assert label_store.state("p", keys.key).rows() == [("a", False, 2)]


@pytest.mark.parametrize(("before", "after", "recorded"), [(0, -1, 0), (-1, 1, 0), (1, -1, 0), (-1, 2, 3)])
def test_a_process_that_is_killed_leaves_all_of_a_batch_or_nothing(checkout, before, after, recorded):
    add({"z": True})
    assert process(checkout, before, after).wait(PATIENCE) == 9
    assert len(counts()) == 1 + recorded
    assert process(checkout).wait(PATIENCE) == 0
    assert counts() == {"a": True, "b": True, "c": False, "z": True}
    assert [one.new for one in label_store.read_entries("p")] == [1, 3]


def test_processes_that_record_at_once_count_nothing_twice(checkout):
    writers = [process(checkout, rows=rows, count=15) for rows in (1, 1, 2)]
    assert [writer.wait(PATIENCE) for writer in writers] == [0, 0, 0]
    assert counts() == {name: name != "c" for name in "abcdefghijklmno"}
    assert sum(one.new for one in label_store.read_entries("p")) == 15


@pytest.mark.parametrize("damage", ["entry", "gap", "batch", "lost batch"])
def test_a_damaged_ledger_is_not_used(checkout, damage):
    for key in "abc":
        add({key: True})
    folder = checkout.home / "labels" / "p"
    path = folder / "batches" / f"{label_store.read_entries('p')[1].batch.sha256}.parquet"
    if damage == "entry":
        (folder / "000002.json").write_text("{")
    elif damage == "gap":
        (folder / "000002.json").unlink()
    elif damage == "batch":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    with pytest.raises(StorageError) as caught:
        counts()
    assert "backup" in caught.value.next_step
    with pytest.raises(StorageError):
        add({"d": True})


def test_labels_are_counted_since_a_time(checkout):
    add({"a": True})
    time = label_store.read_entries("p")[0].time
    add({"a": False, "b": True})
    assert label_store.new_since("p", CONFIG.key, time) == 2
    assert label_store.new_since("p", CONFIG.key, "") == 3
