"""Batches become versions; bad rows are set aside with their reasons; what is refused changes nothing."""

from __future__ import annotations

import polars as pl
import pytest

from penstock.errors import ConfigError, DataError
from tasks.data import ingestion
from tasks.data.data import dataset_paths, resolve_dataset, tracked_files
from tasks.data.project import load_project, schema_text


def take(*names: str):
    project = load_project("tiny")
    done = [ingestion.ingest_batch(project, schema_text(project), name) for name in names]
    return done, ingestion.track_dataset(project)


def test_a_batch_becomes_a_pushed_version(checkout):
    (batch,), tracked = take("b1")
    assert (batch.rows, batch.invalid, batch.dropped) == (500, 0, {"cancelled": 3})
    assert (checkout.root / "data" / "tiny.dvc").read_text().count(tracked.version) == 1
    assert [path.name for path in (checkout.root / ".penstock" / "remote" / "files" / "md5").iterdir()]
    assert not ingestion.unpushed(load_project("tiny"))
    assert (checkout.home / "profiles" / "tiny" / "b1.bin").stat().st_size > 1000


def test_versions_grow_and_old_ones_stay_resolvable(checkout):
    _, first = take("b1")
    _, second = take("b2")
    project = load_project("tiny")
    assert first.version != second.version
    assert [file.path for file in resolve_dataset(project.data).files] == ["b1.parquet", "b2.parquet"]
    old = resolve_dataset(project.data, first.version)
    assert [file.path for file in old.files] == ["b1.parquet"]
    assert pl.read_parquet(dataset_paths(old)[0]).height == 500


def test_the_same_batch_twice_is_the_same_version(checkout):
    _, first = take("b1")
    _, again = take("b1")
    assert first.version == again.version


def test_invalid_rows_are_set_aside_with_the_reason_beside_each(checkout):
    checkout.source(b1={"invalid": 4})
    (batch,), _ = take("b1")
    assert (batch.rows, batch.invalid) == (496, 4)
    aside = pl.read_parquet(batch.quarantine)
    assert aside["why"].to_list() == ["size: in_range(0, 100)"] * 4
    assert aside["id"].to_list() == ["b1-0", "b1-1", "b1-2", "b1-3"]
    kept = pl.read_parquet(checkout.root / "data" / "tiny" / "b1.parquet")
    assert kept.height == 496
    assert kept["size"].max() <= 100


@pytest.mark.parametrize(
    ("defect", "said"),
    [
        ({"invalid": 26}, "26 of 500 rows"),
        ({"drop": "seats"}, "columns are not those"),
        ({"empty": True}, "no rows"),
        ({"label": None}, "columns are not those"),
    ],
)
def test_a_refused_batch_changes_nothing(checkout, defect, said):
    take("b1")
    before = tracked_files(load_project("tiny").data)
    checkout.source(b2=defect)
    with pytest.raises(DataError, match=said):
        take("b2")
    assert tracked_files(load_project("tiny").data) == before
    assert not (checkout.root / "data" / "tiny" / "b2.parquet").exists()


def test_on_invalid_fail_refuses_what_quarantine_takes(checkout):
    checkout.source(b1={"invalid": 1})
    checkout.change(data={"on_invalid": "fail"})
    with pytest.raises(DataError, match="1 of 500 rows"):
        take("b1")


def test_a_failing_source_is_named_with_its_own_words(checkout):
    checkout.source(fails="b1")
    with pytest.raises(DataError) as caught:
        take("b1")
    assert "the database is asleep" in caught.value.found
    assert "tiny_source:source" in caught.value.where


def test_what_run_has_to_ingest(checkout):
    project = load_project("tiny")
    assert ingestion.pending_batches(project) == ["b1", "b2", "b3"]
    take("b1", "b2", "b3")
    assert ingestion.pending_batches(project) == []
    assert ingestion.missing_batches(project) == ["b4"]


def test_an_unknown_batch_names_those_there_are(checkout):
    with pytest.raises(ConfigError) as caught:
        ingestion.missing_batches(load_project("tiny"), "b9")
    assert caught.value.allowed == "b1 .. b4"


def test_an_unreachable_remote_is_named_and_the_push_is_made_up_for(checkout, monkeypatch):
    from tasks.machine.settings import settings

    monkeypatch.setenv("PENSTOCK_REMOTE", "/proc/no/such/remote")
    settings.cache_clear()
    with pytest.raises(DataError) as caught:
        take("b1")
    assert "remote" in caught.value.what
    assert "/proc/no/such/remote" in caught.value.where
    monkeypatch.setenv("PENSTOCK_REMOTE", str(checkout.root / "elsewhere"))
    settings.cache_clear()
    project = load_project("tiny")
    assert ingestion.unpushed(project)
    ingestion.track_dataset(project)
    assert not ingestion.unpushed(project)
    assert list((checkout.root / "elsewhere").rglob("*.dir"))


def test_partitions_deleted_from_the_working_tree_come_back(checkout):
    take("b1", "b2")
    (checkout.root / "data" / "tiny" / "b1.parquet").unlink()
    _, tracked = take("b3")
    assert tracked.files == 3


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("no_such_module:source", "cannot be imported"),
        ("tiny_source:nothing", "no function `nothing`"),
        ("tiny_source:options", "returned a dict"),
    ],
)
def test_a_source_that_is_none(checkout, source, said):
    checkout.change(data={"source": source})
    with pytest.raises(ConfigError, match=said):
        ingestion.missing_batches(load_project("tiny"))
