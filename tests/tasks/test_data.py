"""A dataset version is every byte it was, or an error that says which object is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.errors import DataError
from tasks.data import ingestion
from tasks.data.data import dataset_paths, resolve_dataset
from tasks.data.project import load_project, schema_text


@pytest.fixture
def project(checkout):
    found = load_project("tiny")
    for name in ("b1", "b2"):
        ingestion.ingest_batch(found, schema_text(found), name)
    ingestion.track_dataset(found)
    return found


def objects(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".dir")


def test_a_lost_cache_is_fetched_again_from_the_remote(project, checkout):
    before = resolve_dataset(project.data)
    shutil.rmtree(checkout.root / ".dvc" / "cache")
    assert resolve_dataset(project.data) == before
    assert all(path.is_file() for path in dataset_paths(before))


def test_a_damaged_cache_file_is_fetched_again(project):
    path = dataset_paths(resolve_dataset(project.data))[0]
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    resolve_dataset(project.data)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_a_damaged_object_in_the_remote_is_refused_by_name(project, checkout, damage):
    victim = objects(checkout.root / ".penstock" / "remote")[0]
    victim.chmod(0o644)
    content = victim.read_bytes()
    victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage == "flipped" else content[:100])
    shutil.rmtree(checkout.root / ".dvc" / "cache")
    with pytest.raises(DataError, match="damaged") as caught:
        resolve_dataset(project.data)
    assert victim.parent.name + victim.name in caught.value.where
    assert not [path for path in objects(checkout.root / ".dvc" / "cache") if path.name == victim.name]


def test_an_object_that_is_nowhere_is_named(project, checkout):
    victim = objects(checkout.root / ".penstock" / "remote")[0]
    victim.unlink()
    shutil.rmtree(checkout.root / ".dvc" / "cache")
    with pytest.raises(DataError, match="neither the cache nor the remote") as caught:
        resolve_dataset(project.data)
    assert caught.value.found == victim.parent.name + victim.name


def test_a_version_in_git_is_resolved_without_touching_the_working_tree(project, checkout):
    first = resolve_dataset(project.data)
    checkout.git("init", "--quiet")
    checkout.git("add", "data/tiny.dvc")
    checkout.git("commit", "--quiet", "-m", "two batches")
    ingestion.ingest_batch(project, schema_text(project), "b3")
    ingestion.track_dataset(project)
    assert resolve_dataset(project.data, "HEAD") == first
    assert len(resolve_dataset(project.data).files) == 3
    with pytest.raises(DataError, match="not in git at `nowhere`"):
        resolve_dataset(project.data, "nowhere")


@pytest.mark.parametrize(("content", "said"), [("", "not a DVC file"), ("outs: 3", "not a DVC file")])
def test_a_dvc_file_that_is_none(project, checkout, content, said):
    (checkout.root / "data" / "tiny.dvc").write_text(content)
    with pytest.raises(DataError, match=said):
        resolve_dataset(project.data)


def test_no_data_yet_says_what_to_run(checkout):
    with pytest.raises(DataError) as caught:
        resolve_dataset(load_project("tiny").data)
    assert "penstock run tiny" in caught.value.next_step


def test_a_stray_file_in_the_dataset_is_named(project, checkout):
    (checkout.root / "data" / "tiny" / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="not Parquet"):
        ingestion.track_dataset(project)


def test_processes_that_fetch_at_once_all_get_every_byte(project, checkout):
    shutil.rmtree(checkout.root / ".dvc" / "cache")
    code = (
        "from tasks.data.project import load_project; from tasks.data.data import *\n"
        "print(len(dataset_paths(resolve_dataset(load_project('tiny').data))))"
    )
    environment = {**checkout.environment, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    running = [
        subprocess.Popen(command, cwd=checkout.root, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["2", "2", "2"]


def test_git_commit_takes_only_the_dvc_file(project, checkout):
    from tasks.data.git import commit_dataset

    checkout.git("init", "--quiet")
    for name, value in (("user.name", "Test"), ("user.email", "test@localhost")):
        checkout.git("config", name, value)
    (checkout.root / "mine.txt").write_text("not yours")
    checkout.git("add", "mine.txt")
    commit = commit_dataset(project, "data: tiny b2")
    assert checkout.git("show", "--name-only", "--format=", commit).split() == ["data/tiny.dvc"]
    assert "mine.txt" in checkout.git("diff", "--cached", "--name-only")
    assert commit_dataset(project, "again") == ""


def test_git_commit_without_a_repository_says_that_the_data_are_safe(project, monkeypatch):
    from tasks.data.git import commit_dataset

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", "/")
    with pytest.raises(DataError, match="versioned and pushed"):
        commit_dataset(project, "data: tiny b2")
