"""A rollout whose leader died while the shared store is away: clients first, the ledger when it answers."""

from __future__ import annotations

import pytest

from benchmarks.tiny import serves
from penstock.desired import Route, with_route
from penstock.errors import UnreachableError
from tasks.data.project import load_project
from tasks.machine.settings import settings
from tasks.registry import ledger_store
from tasks.rollout.rollout import deploying
from tasks.rollout.settle import settle
from tasks.serving import serving
from tasks.store import patience
from tasks.store.objects import objects
from tests.s3_server import BUCKET


@pytest.fixture
def shared(tiny, network, tmp_path, monkeypatch):
    """tiny-v1 serves, and what the checkout has is in a bucket."""
    serves("tiny-v1", warm="tiny-v2")
    own = sorted((settings().ledger / "tiny").glob("*.json"))
    monkeypatch.setenv("PENSTOCK_STORE", f"s3://{BUCKET}/{tmp_path.name}")
    settings.cache_clear()
    for number, path in enumerate(own, 1):
        objects().upload(f"ledger/tiny/{number:06}.json", path)
    ledger_store.read_all("tiny")
    yield network
    monkeypatch.delenv("PENSTOCK_STORE")
    settings.cache_clear()


def test_the_challenger_gets_no_more_requests_and_the_ledger_hears_of_it_once(shared):
    serve = load_project("tiny").serve
    route = Route(champion="tiny-v1", challenger="tiny-v2", weight=10, rollout="r1", serve=serve)
    with deploying("tiny"):  # so that the warden, which shares nothing, waits
        serving.change(lambda desired: with_route(desired, "production", "tiny", route))
        shared.become("refused")
        for _ in range(2):
            with patience.within(0.5), pytest.raises(UnreachableError):
                settle("tiny")
            now = serving.read().route("production", "tiny")
            assert (now.champion, now.challenger) == ("tiny-v1", "")
        shared.become("fine")
        assert [(event.kind, event.version) for event in settle("tiny")] == [("stopped", "tiny-v2")]
        assert settle("tiny") == []
    kinds = [event.kind for event in ledger_store.read_all("tiny")]
    assert kinds.count("stopped") == 1
