"""What doctor says of a shared store: there, away, refused; and that its variable has a reader."""

from __future__ import annotations

import pytest

from penstock.diagnosis import ok
from penstock.errors import StorageError, UnreachableError
from tasks.operations import doctor
from tasks.operations.doctor_environment import variables
from tasks.operations.doctor_store import PROBE, shared_store
from tasks.store import patience
from tasks.store.objects import objects
from tests.s3_server import BUCKET


def test_none_is_well(home):
    assert [finding.level for finding in shared_store(True)] == ["ok"]


@pytest.mark.parametrize("write", [False, True])
def test_it_is_listed_and_if_asked_written_to(store_of, write):
    for _ in range(2):
        (found,) = shared_store(write)
        assert (found.level, "written to" in found.found) == ("ok", write)
    assert (PROBE in objects().names("")) == write


def test_one_that_is_away_or_refuses_is_an_error(network, use_store, monkeypatch):
    use_store("s3://nobody/here")
    with pytest.raises(StorageError, match="does not exist"):
        list(shared_store(False))
    use_store(f"s3://{BUCKET}/away")
    network.become("refused")
    monkeypatch.setattr(patience, "HURRY", 0.5)
    with pytest.raises(UnreachableError):
        list(shared_store(False))


def test_every_check_is_in_a_hurry():
    """One that waited for the store as a run does would be told as hanging, whatever it looks at."""
    found: dict = {}
    doctor._run("it", lambda: [ok("it", f"{patience.most():g} s")], found)
    assert found["it"][0].found == f"{patience.HURRY:g} s"


def test_its_variables_are_known(use_store, tmp_path, monkeypatch):
    use_store(str(tmp_path))
    monkeypatch.setenv("PENSTOCK_CACHE_GB", "5")
    (found,) = variables()
    assert found.level == "ok"
    assert "PENSTOCK_STORE" in found.found
