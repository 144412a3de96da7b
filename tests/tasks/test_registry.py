"""The registry: a version for each lineage that passed, once, whatever happens beside or after it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date

import pytest

from penstock.candidate import Forced
from penstock.errors import DataError, StorageError
from penstock.forcing import forced
from penstock.skew import SKEW
from tasks.registry.registry import (
    find_champion,
    find_existing,
    find_release,
    read_ledger,
    recorded_candidate,
    register,
)
from tasks.store import store
from tests.candidates import made
from tests.waiting import PATIENCE


def kinds() -> list[tuple[str, str]]:
    return [(event.kind, event.version) for event in read_ledger("tiny")]


def damage(ref) -> None:
    path = store.locate(ref)
    path.chmod(0o644)
    path.write_bytes(b"?" * ref.size)


def test_a_candidate_that_passed_is_a_release_and_found_again(checkout):
    candidate = made()
    assert find_existing(candidate.lineage, None) is None
    release = register(candidate)
    assert (release.version, release.verdict, release.sequence, release.new) == ("tiny-v1", "blessed", 1, True)
    assert find_existing(candidate.lineage, None) == release.model_copy(update={"new": False})
    assert recorded_candidate(release) == candidate
    assert find_release("tiny") == find_release("tiny", "tiny-v1")


def test_registering_twice_is_once(checkout):
    first = register(made())
    second = register(made())
    assert second == first.model_copy(update={"new": False})
    assert kinds() == [("registered", "tiny-v1")]


def test_every_lineage_has_a_version_of_its_own_and_the_newest_is_the_champion(checkout):
    assert find_champion(made().lineage) is None
    register(made())
    champion = find_champion(made("d2").lineage)
    assert (champion.version, champion.model) == ("tiny-v1", made().model)
    register(made("d2", champion=champion))
    assert find_champion(made("d3").lineage).version == "tiny-v2"
    assert kinds() == [("registered", "tiny-v1"), ("registered", "tiny-v2")]


def test_a_rejection_takes_no_version_and_is_recorded_once_beside_one_champion(checkout):
    bad = made("bad", passed=False)
    release = register(bad)
    assert (release.version, release.verdict) == ("", "rejected")
    assert read_ledger("tiny")[0].reason == "auc: 0.1, must be at least 0.5"
    assert not register(bad).new
    assert find_existing(bad.lineage, None).sequence == 1

    register(made())
    champion = find_champion(bad.lineage)
    assert find_existing(bad.lineage, champion) is None  # another champion: judged anew
    assert register(made("bad", passed=False, champion=champion)).sequence == 3
    assert kinds() == [("rejected", ""), ("registered", "tiny-v1"), ("rejected", "")]


@pytest.mark.parametrize("which", ["record", "booster", "metrics", "bento"])
def test_a_damaged_release_is_not_found_and_keeps_its_version_when_made_again(checkout, which):
    candidate = made()
    release = register(candidate)
    register(made("d2", champion=find_champion(made("d2").lineage)))
    refs = {
        "record": release.record, "booster": candidate.model.booster, "metrics": candidate.evaluation.metrics,
        "bento": candidate.package.bento,
    }  # fmt: skip
    damage(refs[which])
    assert find_champion(candidate.lineage) is None  # judged as it was judged: as the first
    assert find_existing(candidate.lineage, None) is None

    again = register(made(auc=0.71))  # other bytes, such as another latency in the metrics
    assert (again.version, again.new) == ("tiny-v1", True)
    assert find_existing(candidate.lineage, None).sequence == 3
    assert kinds() == [("registered", "tiny-v1"), ("registered", "tiny-v2"), ("registered", "tiny-v1")]
    assert find_release("tiny").version == "tiny-v2"
    assert register(made("d3")).version == "tiny-v3"


@pytest.mark.parametrize("which", ["record", "booster", "history"])
def test_a_damaged_champion_is_an_error_that_says_how_to_make_it_again(checkout, which):
    candidate = made("0123456789abcdef0123456789abcdef.dir")
    release = register(candidate)
    fresh = made("d2").lineage
    assert find_champion(fresh).version == "tiny-v1"
    damage(getattr(candidate.model, which, release.record))
    with pytest.raises(StorageError, match="tiny-v1") as caught:
        find_champion(fresh)
    assert "commit c0ffee" in caught.value.next_step
    assert "penstock train tiny --revision 0123456789abcdef0123456789abcdef" in caught.value.next_step
    assert find_champion(candidate.lineage) is None  # which is what makes it again


def test_a_record_of_another_penstock_is_an_error_and_no_crash(checkout):
    release = register(made())
    strange = release.model_copy(update={"record": store.put_json({"of": "another time"}, "record.json")})
    with pytest.raises(StorageError, match="cannot be read by this version"):
        recorded_candidate(strange)


def test_a_release_that_is_not_there_names_those_that_are(checkout):
    with pytest.raises(DataError) as caught:
        find_release("tiny")
    assert caught.value.next_step == "penstock run tiny"
    register(made())
    with pytest.raises(DataError) as caught:
        find_release("tiny", "tiny-v9")
    assert caught.value.allowed == "tiny-v1"


REGISTER = """
import sys
from penstock.candidate import Candidate
from tasks.registry.registry import register
for line in sys.stdin:
    release = register(Candidate.model_validate_json(line))
    print(release.version, release.new)
"""


def test_two_processes_at_once_give_each_lineage_one_version(checkout):
    candidates = "".join(made(f"d{number}").model_dump_json() + "\n" for number in range(8))
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", REGISTER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout.root, env=environment,
        )
        for _ in range(3)
    ]  # fmt: skip
    for writer in writers:
        writer.stdin.write(candidates)
        writer.stdin.close()
    answers = [writer.stdout.read().split("\n")[:-1] for writer in writers]
    assert [writer.wait(PATIENCE) for writer in writers] == [0, 0, 0]
    versions = [[line.split()[0] for line in lines] for lines in answers]
    assert versions[0] == versions[1] == versions[2]
    assert sorted(versions[0]) == [f"tiny-v{number}" for number in range(1, 9)]
    assert sum(line.endswith("True") for lines in answers for line in lines) == 8
    assert len(kinds()) == 8


def test_a_rejection_for_what_clients_sent_is_judged_again(checkout):
    for failed, again in (("auc", False), (SKEW, True)):
        candidate = made(failed, passed=False, failed=failed)
        register(candidate)
        assert (find_existing(candidate.lineage, None) is None) is again


def test_a_forced_candidate_keeps_its_version_when_its_time_is_extended_and_when_it_passes_after_all(checkout):
    rejection, passing = made("bad", passed=False), made("bad")
    register(rejection)
    word = Forced(by="Ana", reason="the holiday", until=date(2026, 11, 24), failed="auc")
    packaged = rejection.model_copy(update={"package": passing.package, "forced": word})
    first = register(packaged)
    assert (first.version, first.verdict, first.identity) == ("tiny-v1", "forced", rejection.lineage.identity)
    assert not register(packaged).new
    longer = word.model_copy(update={"until": date(2026, 12, 1)})
    assert register(packaged.model_copy(update={"forced": longer})).version == "tiny-v1"
    assert forced(read_ledger("tiny")) == {"tiny-v1": longer}
    assert find_existing(rejection.lineage, None).verdict == "forced"
    passed = register(passing)
    assert (passed.version, passed.verdict) == ("tiny-v1", "blessed")
    assert forced(read_ledger("tiny")) == {}
    assert kinds() == [("rejected", ""), *[("forced", "tiny-v1")] * 2, ("registered", "tiny-v1")]
