"""doctor and gc beside releases that really serve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from benchmarks.rollout_load import load
from benchmarks.tiny import bodies, serves
from penstock.desired import without_servers
from tasks.machine import clock
from tasks.operations import doctor_serving
from tasks.operations.collecting_garbage import free
from tasks.platform import supervision
from tasks.rollout.rollback import roll_back
from tasks.serving import serving

DAY = 86_400.0


def wrong():
    return [(one.level, one.found, one.mend) for one in doctor_serving.serving_programs() if one.level != "ok"]


def test_gc_under_load_costs_no_request_and_the_release_before_comes_back(tiny, tmp_path):
    serves("tiny-v2", warm="tiny-v1")
    assert serving.retire("tiny") == ["tiny-v1"]
    with load(serving.address(), "tiny", bodies(), rate=50) as seen:
        with clock.simulated(tmp_path / "clock", datetime.now(UTC) + timedelta(days=60)):
            free(1, 30 * DAY)
        assert roll_back("tiny", "it is wrong").after == "tiny-v1"
    assert seen.failed == []


def test_doctor_sees_that_what_runs_is_not_what_is_to_serve(tiny):
    serves("tiny-v2", warm="tiny-v1")
    assert wrong() == []
    assert [one.level for one in doctor_serving.ports_free()] == ["ok", "ok", "ok"]
    desired = serving.read()
    path = tiny.home / "serving" / "desired.json"
    path.write_text(without_servers(desired, {"tiny-v1"}).model_dump_json())
    assert [(level, found) for level, found, _ in wrong()] == [("fail", "tiny-v1 runs and is not to serve")]
    path.write_text(desired.model_dump_json())
    for process in supervision.group("tiny-v1"):
        supervision.halt(f"tiny-v1:{process['name']}")
    ((level, found, mend),) = wrong()
    assert (level, found) == ("fail", "tiny-v1 runs and does not answer at /readyz")
    assert mend.startswith("penstock up")
