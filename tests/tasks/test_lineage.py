"""Identity: equal exactly when data, config, code and environment are."""

from __future__ import annotations

import json

import pytest

from penstock.refs import DataFile, Dataset
from tasks.data.project import load_project, schema_text
from tasks.machine.settings import settings
from tasks.store import store
from tasks.store.caching import planning
from tasks.training import lineage


def describe(version: str = "1"):
    project = load_project("tiny")
    dataset = Dataset(path="data/tiny", version=version, files=(DataFile(path="a.parquet", md5="1", size=1),))
    return lineage.describe_lineage(project, schema_text(project), dataset)


def test_equal_things_have_an_equal_identity(checkout):
    first = describe()
    text = (checkout.root / "configs" / "tiny.yaml").read_text()
    (checkout.root / "configs" / "tiny.yaml").write_text(text + "\n# a comment\n")
    assert describe().identity == first.identity


@pytest.mark.parametrize("what", ["data", "config", "schema", "code", "environment"])
def test_whatever_can_change_the_model_changes_it(checkout, monkeypatch, what):
    first = describe().identity
    if what == "config":
        checkout.change(train={"seed": 8})
    elif what == "schema":
        path = checkout.root / "configs" / "schemas" / "tiny.yaml"
        path.write_text(path.read_text().replace("max_value: 100", "max_value: 99"))
    elif what == "code":
        monkeypatch.setattr(lineage, "closure", lambda module: {module: "changed"})
    elif what == "environment":
        monkeypatch.setattr(lineage, "_pins", lambda path: ["xgboost==9"])
    assert describe("2" if what == "data" else "1").identity != first


def test_the_engine_changes_it_and_is_recorded_and_one_process_is_none(checkout, monkeypatch):
    found = [describe()]
    for shards in ("2", "3"):
        monkeypatch.setenv("PENSTOCK_DASK", "tcp://somewhere:8786")
        monkeypatch.setenv("PENSTOCK_DASK_SHARDS", shards)
        settings.cache_clear()
        found.append(describe())
    assert [each.trained_by for each in found] == ["one process", "Dask, 2 shards", "Dask, 3 shards"]
    assert len({each.identity for each in found}) == 3
    monkeypatch.setenv("PENSTOCK_DASK", "tcp://elsewhere:8786")
    settings.cache_clear()
    assert describe().identity == found[2].identity
    before = json.loads(found[0].model_dump_json())
    del before["engine"]  # a record from before there was one
    assert type(found[0]).model_validate(before).identity == found[0].identity


def test_how_a_release_serves_takes_over_and_is_watched_is_no_part_of_it(checkout):
    first = describe().identity
    checkout.change(serve={"timeout_seconds": 9}, rollout={"steps": [50]}, monitor={"ks": 0.2, "ignore": ["size"]})
    assert load_project("tiny").monitor.ks == 0.2
    assert describe().identity == first


def test_the_code_is_what_makes_a_release_not_what_shows_it(checkout):
    code = describe().code
    assert {
        "penstock/model.py",
        "penstock/gate.py",
        "bentos/service.py",
        "tasks/packaging/infra.py",
        "flows/train.py",
    } <= set(code)
    assert not {"tasks/platform/platform.py", "tasks/reports/reporting.py", "flows/terminal.py"} & set(code)


def test_without_git_the_commit_is_empty(checkout, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.root.parent))
    found = describe()
    assert (found.git_commit, found.git_dirty) == ("", False)


def test_a_machine_without_git_is_the_same(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert describe().git_commit == ""


def test_the_dirty_flag_leaves_our_own_dvc_files_out(checkout):
    checkout.git("init", "--quiet")
    (checkout.root / ".gitignore").write_text(".penstock/\n__pycache__/\n")
    checkout.git("add", "-A")
    checkout.git("commit", "--quiet", "-m", "all")
    clean = describe()
    assert len(clean.git_commit) == 40
    assert not clean.git_dirty
    (checkout.root / "data").mkdir(exist_ok=True)
    (checkout.root / "data" / "tiny.dvc").write_text("outs: []")
    assert not describe().git_dirty
    (checkout.root / "mine.py").write_text("x = 1")
    dirty = describe()
    assert dirty.git_dirty
    assert dirty.identity == clean.identity


@pytest.mark.parametrize("ours", ["data/tiny.dvc", "data/.gitignore", ".dvc/config"])
def test_what_ingest_writes_leaves_a_folder_of_a_larger_repository_clean(checkout, monkeypatch, ours):
    inner = checkout.root / "model"
    inner.mkdir()
    for name in ("configs", "prefect.yaml"):
        (checkout.root / name).rename(inner / name)
    monkeypatch.setenv("PENSTOCK_ROOT", str(inner))
    settings.cache_clear()
    (checkout.root / ".gitignore").write_text(".penstock/\n__pycache__/\n")
    checkout.git("init", "--quiet")
    checkout.git("add", "-A")
    checkout.git("commit", "--quiet", "-m", "all")
    (inner / ours).parent.mkdir()
    (inner / ours).write_text("# written by ingest")
    assert not describe().git_dirty
    (checkout.root / "beside.py").write_text("x = 1")
    assert describe().git_dirty


def test_what_git_cannot_tell_is_dirty(checkout):
    checkout.git("init", "--quiet")
    checkout.git("add", "prefect.yaml")
    checkout.git("commit", "--quiet", "-m", "one")
    (checkout.root / ".git" / "index").write_bytes(b"damaged")
    found = describe()
    assert len(found.git_commit) == 40
    assert found.git_dirty


def test_planning_writes_nothing_and_finds_the_same_identity(checkout, monkeypatch):
    made = describe()
    assert store.intact(made.config)
    assert store.intact(made.schema_text)
    (checkout.root / "a-file").touch()
    monkeypatch.setenv("PENSTOCK_HOME", str(checkout.root / "a-file" / "home"))  # cannot be made, not even by root
    settings.cache_clear()
    with planning():
        assert describe() == made


def test_an_interrupted_installation_is_no_error(checkout, monkeypatch):
    clean = lineage._installed()
    (checkout.root / "half-1.0.dist-info").mkdir()
    whole = checkout.root / "whole-2.0.dist-info"
    whole.mkdir()
    (whole / "METADATA").write_text("Metadata-Version: 2.1\nName: whole\nVersion: 2.0\n")
    monkeypatch.syspath_prepend(checkout.root)
    assert sorted({*lineage._installed()} - {*clean}) == ["whole==2.0"]
