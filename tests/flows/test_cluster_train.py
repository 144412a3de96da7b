"""Flows whose model the workers of a real cluster train together."""

from __future__ import annotations

import json
import shutil

import pytest

from flows.ingest import ingest
from flows.reproduce import reproduce
from flows.train import train
from penstock.errors import ClusterError, Rejected
from tasks.machine.settings import settings
from tasks.machine.steps import listeners
from tasks.store import store
from tests.dask_cluster import at_round, dask_cluster
from tests.waiting import PATIENCE


def point(monkeypatch, address: str) -> None:
    monkeypatch.setenv("PENSTOCK_DASK", address)
    settings.cache_clear()


def test_a_release_is_of_its_engine_and_comes_out_the_same(checkout, tmp_path, monkeypatch):
    (checkout.root / ".gitignore").write_text(".penstock/\n.dvc/cache/\n__pycache__/\n")
    ingest.fn("tiny", until="b3")
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        checkout.git(*command)
    with dask_cluster(tmp_path / "dask", 2, **checkout.environment) as cluster:
        point(monkeypatch, cluster.address)
        made = train.fn("tiny")
        assert made.candidate.lineage.trained_by == "Dask, 2 shards"
        assert "Dask, 2 shards" in store.read_bytes(made.report).decode()
        assert train.fn("tiny").release == made.release.model_copy(update={"new": False})
    point(monkeypatch, "")  # whatever trains here now, the record says what trained that
    found = reproduce.fn("tiny", here=True)
    assert found.rebuilt.proved, str(found)
    assert "trained by:  Dask, 2 shards" in str(found)


def test_a_run_goes_on_from_what_is_cached_when_scheduler_and_worker_are_killed(live, tmp_path, monkeypatch):
    live.change(
        train={"rounds": 2000, "early_stopping_rounds": 2000},
        gate={"metrics": {"auc": {"min": 0.99}}},  # a rejected one is not packaged, and all else is as ever
    )
    ingest.fn("tiny", until="b3")
    steps = []
    listen = lambda event: steps.append((event.name, event.state))  # noqa: E731
    with dask_cluster(tmp_path / "dask", 2, **live.environment) as cluster:
        point(monkeypatch, cluster.address)
        lost = pytest.raises(ClusterError, match="connection to the Dask scheduler was lost")
        with at_round(50, lambda: cluster.kill(cluster.scheduler)), lost:
            train("tiny")
        for worker in cluster.workers:
            worker.wait(PATIENCE)
        cluster.start_scheduler()
        for _ in range(3):
            cluster.start_worker()
        cluster.wait_for(3)
        listeners.append(listen)
        try:
            with at_round(50, cluster.kill_busy_worker), pytest.raises(Rejected) as ended:
                train("tiny")
        finally:
            listeners.remove(listen)
    assert {("validate dataset", "cached"), ("split dataset", "cached"), ("train model", "done")} <= set(steps)
    assert ended.value.outcome.candidate.model.rounds == 2000


def test_plan_says_that_the_engine_is_another_and_asks_no_cluster(live):
    ingest.fn("tiny", until="b3")
    live.penstock("train", "tiny", check=True)
    shutil.rmtree(live.home / "ledger")
    said = live.penstock("plan", "tiny", "--json", check=True, PENSTOCK_DASK="tcp://127.0.0.1:9")
    steps = {step["name"]: step for step in json.loads(said.stdout)}
    assert steps["train model"]["reasons"] == ["engine: this process -> Dask, 2 shards"]
    assert not steps["split dataset"]["runs"]
