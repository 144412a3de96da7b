"""A DVC remote in a bucket is trusted no more than any other: every byte is hashed on arrival."""

from __future__ import annotations

import shutil

import pytest

from penstock.errors import DataError
from tasks.data import ingestion
from tasks.data.data import dataset_paths, resolve_dataset
from tasks.data.project import load_project, schema_text
from tasks.machine.settings import settings
from tasks.operations.doctor_addresses import dvc_remote
from tests.clouds import BUCKET


@pytest.fixture
def project(checkout, cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("PENSTOCK_REMOTE", cloud.dvc_url(f"{tmp_path.name}/dvc"))
    settings.cache_clear()
    found = load_project("tiny")
    ingestion.ingest_batch(found, schema_text(found), "b1")
    ingestion.track_dataset(found)
    return found


@pytest.fixture
def bucket(project, cloud):
    return cloud.filesystem()


def victim(bucket, tmp_path) -> str:
    found = bucket.find(f"{BUCKET}/{tmp_path.name}/dvc")
    return next(name for name in found if not name.endswith(".dir"))


def test_what_was_pushed_is_fetched(project, checkout):
    before = resolve_dataset(project.data)
    content = [path.read_bytes() for path in dataset_paths(before)]
    shutil.rmtree(checkout.root / ".dvc" / "cache")
    assert resolve_dataset(project.data) == before
    assert [path.read_bytes() for path in dataset_paths(before)] == content


def test_damage_in_the_bucket_is_refused_by_name(project, checkout, bucket, tmp_path):
    name = victim(bucket, tmp_path)
    content = bucket.cat_file(name)
    bucket.pipe_file(name, content[:-1] + bytes([content[-1] ^ 1]))
    shutil.rmtree(checkout.root / ".dvc" / "cache")
    with pytest.raises(DataError, match="damaged") as caught:
        resolve_dataset(project.data)
    assert "".join(name.split("/")[-2:]) in caught.value.where


def test_what_the_bucket_lost_is_named(project, checkout, bucket, tmp_path):
    name = victim(bucket, tmp_path)
    bucket.rm_file(name)
    shutil.rmtree(checkout.root / ".dvc" / "cache")
    with pytest.raises(DataError, match="neither the cache nor the remote") as caught:
        resolve_dataset(project.data)
    assert caught.value.found == "".join(name.split("/")[-2:])


def test_a_remote_that_refuses_is_an_error_without_secrets(project, checkout, cloud, monkeypatch):
    shutil.rmtree(checkout.root / ".dvc" / "cache")
    monkeypatch.setenv("PENSTOCK_REMOTE", cloud.dvc_url("dvc", bucket="nobody"))
    settings.cache_clear()
    with pytest.raises(DataError) as caught:
        resolve_dataset(project.data)
    assert cloud.secret not in caught.value.text()
    assert cloud.dvc_url("dvc", bucket="nobody") in caught.value.where


def test_doctor_lists_it_and_writes_to_it_if_asked(project, bucket, cloud, tmp_path):
    before = bucket.find(f"{BUCKET}/{tmp_path.name}/dvc")
    for write in (False, True):
        (found,) = dvc_remote(write)
        assert (found.level, "written to" in found.found) == ("ok", write)
        assert cloud.dvc_url(f"{tmp_path.name}/dvc") in found.found
    assert bucket.find(f"{BUCKET}/{tmp_path.name}/dvc") == before


def test_doctor_says_that_it_refuses_and_no_secret(project, cloud, monkeypatch):
    monkeypatch.setenv("PENSTOCK_REMOTE", cloud.dvc_url("dvc", bucket="nobody"))
    settings.cache_clear()
    (found,) = dvc_remote(True)
    assert found.level == "fail"
    assert cloud.secret not in found.found
