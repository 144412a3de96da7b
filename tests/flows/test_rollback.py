"""Back to what was healthy: warm, cold, and when nearly everything else is broken."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.rollout_check import settled
from benchmarks.rollout_load import load
from benchmarks.tiny import bodies, serves
from penstock import ledger
from penstock.errors import RolloutError
from tasks.packaging.model_server import unpacked
from tasks.platform import supervision
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged, tell
from tasks.rollout.rollback import answering, plan_rollback, roll_back
from tasks.serving import serving
from tasks.store import store


def quarantined() -> set[str]:
    return set(ledger.quarantined(read_ledger("tiny")))


def cold() -> None:
    """tiny-v2 serves, tiny-v1 did before, and its servers are gone."""
    serves("tiny-v2", warm="tiny-v1")
    assert serving.retire("tiny") == ["tiny-v1"]


@pytest.mark.parametrize("warm", [True, False])
def test_under_load_no_client_notices(tiny, warm):
    if warm:
        serves("tiny-v2", warm="tiny-v1")
    else:
        cold()
    with load(serving.address(), "tiny", bodies(), rate=150) as seen:
        found = roll_back("tiny", "it is wrong")
    assert (found.bad, found.target, found.warm) == ("tiny-v2", "tiny-v1", warm)
    assert (found.before, found.after) == ("tiny-v2", "tiny-v1")
    assert seen.failed == []
    assert quarantined() == {"tiny-v2"}
    assert settled("tiny") == []


def test_dry_run_changes_nothing_and_to_names_the_target(tiny):
    cold()
    before = (serving.read(), read_ledger("tiny"))
    said = tiny.penstock("rollback", "tiny", "--dry-run")
    assert "tiny-v2 -> tiny-v1 (its servers have to be started)" in said
    assert (serving.read(), read_ledger("tiny")) == before
    assert roll_back("tiny", "it is wrong", to="tiny-v1").target == "tiny-v1"
    with pytest.raises(RolloutError, match="quarantine"):
        plan_rollback("tiny", "tiny-v2")
    assert roll_back("tiny", "it was right", to="tiny-v2", force=True).after == "tiny-v2"
    assert quarantined() == {"tiny-v1"}
    assert settled("tiny") == []


def test_what_cannot_be_is_refused_with_words(tiny):
    serves("tiny-v1")
    with pytest.raises(RolloutError, match="no release that `tiny` could go back to"):
        plan_rollback("tiny")
    with pytest.raises(RolloutError, match="no release `tiny-v9`"):
        plan_rollback("tiny", "tiny-v9")
    with pytest.raises(RolloutError, match="serves already"):
        plan_rollback("tiny", "tiny-v1")
    with pytest.raises(RolloutError, match="needs a reason"):
        roll_back("tiny", " ")
    serves("tiny-v2", warm="tiny-v1")
    tell("tiny", "quarantined", "tiny-v1", "it was bad too")
    with pytest.raises(RolloutError, match="no release that"):
        plan_rollback("tiny")


def test_a_damaged_target_is_refused_and_the_champion_goes_on(tiny):
    cold()
    with damaged("tiny-v1"), pytest.raises(RolloutError, match="gone or damaged"):
        roll_back("tiny", "it is wrong")
    assert answering("tiny") == "tiny-v2"
    assert settled("tiny") == []
    assert quarantined() == set()


def test_a_damaged_champion_keeps_nobody_from_a_cold_target(tiny):
    cold()
    with damaged("tiny-v2"):
        assert roll_back("tiny", "its disk is broken").after == "tiny-v1"
    assert settled("tiny") == []


def test_with_prefect_down_and_the_champions_servers_dead(tiny):
    serves("tiny-v2", warm="tiny-v1")
    for process in supervision.group("tiny-v2"):
        supervision.halt(f"tiny-v2:{process['name']}")
    said = tiny.penstock("rollback", "tiny", "--reason", "it is dead", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert "tiny-v1 serves again" in said
    assert answering("tiny") == "tiny-v1"
    assert settled("tiny") == []


class damaged:
    """The release's package is damaged while the block runs: its tar, and what was unpacked of it."""

    def __init__(self, version: str) -> None:
        package = packaged("tiny", version).package
        self.tar, self.folder = store.locate(package.bento), unpacked(package)

    def __enter__(self) -> None:
        self.content = self.tar.read_bytes()
        self.tar.chmod(0o644)
        self.tar.write_bytes(b"not a tar")
        shutil.rmtree(self.folder)

    def __exit__(self, *_: object) -> None:
        self.tar.write_bytes(self.content)
        self.tar.chmod(0o444)
