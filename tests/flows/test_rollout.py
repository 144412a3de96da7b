"""Rollouts of the tiny project, with real servers, Envoys and supervisord; by `deploy.fn`, and once by Prefect."""

from __future__ import annotations

import functools

import pytest

from benchmarks.rollout_check import disagreements
from benchmarks.rollout_load import load
from benchmarks.tiny import bodies, serves
from flows import deploy as deploy_module
from flows.deploy import deploy
from penstock import ledger
from penstock.desired import Route, with_route
from penstock.errors import PlatformError, RolloutError
from penstock.verdict import Verdict
from tasks.data.project import load_project
from tasks.platform import platform
from tasks.registry import approval
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged, server_of
from tasks.rollout import rollback
from tasks.rollout import rollout_routes as routes
from tasks.rollout.rollout import deploying
from tasks.rollout.rollout_routes import Rollout
from tasks.serving import gateway_files, release_server, serving
from tasks.store import locks
from tests.waiting import PATIENCE, until


@pytest.fixture(autouse=True)
def plain(tiny):
    tiny.change()


def kinds(version: str) -> list[str]:
    return [event.kind for event in read_ledger("tiny") if event.version == version]


def ended(version: str, **options):
    """How the deploy ended: a Deployment, also where it was not well."""
    found = deploy.fn("tiny", version, **options)
    return getattr(getattr(found, "data", None), "deployment", found)


def route() -> Route | None:
    return serving.read().route("production", "tiny")


def agrees() -> bool:
    """Nobody deploys any more, not even the warden in a dead deploy's place, and all is as desired."""
    return until(lambda: not _left(), _left)


def _left() -> list[str]:
    with locks.tried("deploy-tiny") as free:
        if not free:
            return ["somebody deploys"]
    return disagreements("tiny") + ["a challenger"] * bool(route().challenger)


def until_challenged() -> None:
    until(lambda: (route() or Route(champion="")).challenger)


def test_the_first_release_and_then_nothing_to_do(tiny):
    assert ended("tiny-v1").result == "healthy"
    assert kinds("tiny-v1") == ["registered", "staged", "promoted", "healthy"]
    assert agrees()
    again = ended("tiny-v1")
    assert (again.result, again.serving) == ("serving already", "tiny-v1")
    assert kinds("tiny-v1")[-1] == "healthy" and len(kinds("tiny-v1")) == 4


def test_a_good_release_takes_over_and_no_client_notices(tiny, prefect_api):
    serves("tiny-v1")
    with load(serving.address(), "tiny", bodies(), rate=150) as seen:
        said = tiny.penstock("deploy", "tiny", "tiny-v2", PREFECT_API_URL=prefect_api)
    assert "tiny-v2: healthy; tiny-v2 serves" in said
    assert seen.failed == []
    assert {request.version for request in seen.requests} == {"tiny-v1", "tiny-v2"}
    assert kinds("tiny-v2") == ["registered", "staged", "shadow", "canary", "promoted", "healthy"]
    assert serving.read().servers.keys() == {"tiny-v1", "tiny-v2"}  # the one before stays up, to go back to
    assert agrees()


def test_without_traffic_the_champion_stays(tiny):
    serves("tiny-v1")
    tiny.change(traffic="live", max_wait_seconds=1)
    found = ended("tiny-v2")
    assert (found.result, found.serving) == ("held", "tiny-v1")
    assert "more requests" in " ".join(found.reasons)
    assert kinds("tiny-v2")[-1] == "held" and not ledger.quarantined(read_ledger("tiny"))
    assert agrees() and serving.read().servers.keys() == {"tiny-v1"}


def test_a_bad_release_costs_no_client_anything_and_comes_back_only_by_force(tiny, monkeypatch):
    serves("tiny-v1")
    monkeypatch.setattr(deploy_module, "Rollout", functools.partial(Rollout, fault="errors@canary"))
    with load(serving.address(), "tiny", bodies(), rate=150) as seen:
        found = ended("tiny-v2")
    assert (found.result, found.serving) == ("failed", "tiny-v1")
    assert seen.failed == []
    assert agrees() and "tiny-v2" in ledger.quarantined(read_ledger("tiny"))

    monkeypatch.undo()
    with pytest.raises(RolloutError, match="quarantine"):
        ended("tiny-v2")
    with pytest.raises(RolloutError, match="needs a reason"):
        ended("tiny-v2", force=True)
    assert ended("tiny-v2", force=True, reason="it was the drill").result == "healthy"
    assert not ledger.quarantined(read_ledger("tiny"))


def test_a_shift_that_begins_in_the_canary_is_seen_by_asking_the_champion_again(tiny, monkeypatch):
    serves("tiny-v1")
    tiny.change(max_slow_share=1)  # a busy machine is not what is asked about
    monkeypatch.setattr(deploy_module, "Rollout", functools.partial(Rollout, fault="shift@canary"))
    with load(serving.address(), "tiny", bodies(), rate=150) as seen:
        found = ended("tiny-v2")
    assert (found.result, found.serving) == ("failed", "tiny-v1")
    assert [(step, verdict.decision) for step, verdict in found.verdicts] == [
        ("replay", "pass"),
        ("shadow", "pass"),
        ("canary 50 %", "fail"),
    ]
    assert "prediction shift +0.2" in found.reasons[0]
    assert seen.failed == []
    assert agrees()


def test_a_log_without_a_feature_compares_nothing_in_the_canary(tiny):
    path = tiny.root / "configs" / "tiny.yaml"
    path.write_text(path.read_text() + "serve: {log: {drop: [size]}}\n")
    serves("tiny-v1")
    found = dict(ended("tiny-v2").verdicts)
    assert "prediction shift" in " ".join(check.name for check in found["shadow"].checks)
    assert "prediction shift" not in " ".join(check.name for check in found["canary 50 %"].checks)
    path.write_text(path.read_text().rpartition("serve:")[0])


def test_a_release_that_fails_before_production_leaves_staging(tiny, monkeypatch):
    serves("tiny-v1")
    bad = Verdict(decision="fail", reasons=("it is wrong",), checks=(), needs=0)
    monkeypatch.setattr(deploy_module, "replay_requests", lambda rollout: bad)
    assert ended("tiny-v2").result == "failed"
    assert serving.read().route("staging", "tiny").champion == "tiny-v1"
    assert agrees() and serving.read().servers.keys() == {"tiny-v1"}


def test_what_a_replay_cannot_decide_the_shadow_does(tiny, monkeypatch):
    serves("tiny-v1")
    verdicts = {
        "replay_requests": Verdict(decision="hold", reasons=("too few rows",), checks=(), needs=100),
        "shadow_release": Verdict(decision="fail", reasons=("now it is clear",), checks=(), needs=0),
    }
    for step, verdict in verdicts.items():
        monkeypatch.setattr(deploy_module, step, lambda rollout, found=verdict: found)
    found = ended("tiny-v2")
    assert (found.result, found.reasons) == ("failed", ("now it is clear",))
    tiny.change(shadow_seconds=0)  # nobody asks again
    found = ended("tiny-v2", force=True, reason="again")
    assert (found.result, found.reasons) == ("held", ("too few rows",))


@pytest.mark.drill  # supervisord waits longer from start to start: 20 s
def test_a_release_that_does_not_start_is_in_quarantine(tiny, monkeypatch):
    serves("tiny-v1")
    monkeypatch.setattr(deploy_module, "Rollout", functools.partial(Rollout, fault="crash"))
    found = ended("tiny-v2")
    assert (found.result, found.serving) == ("failed", "tiny-v1")
    assert agrees() and "tiny-v2" in ledger.quarantined(read_ledger("tiny"))


def test_what_the_platform_fails_is_not_the_releases_fault(tiny, monkeypatch):
    serves("tiny-v1")

    def refused(rollout: Rollout) -> Verdict:
        routes.point(rollout, challenger="tiny-v2", weight=10)
        raise PlatformError("Envoy says no.")

    monkeypatch.setattr(deploy_module, "shadow_release", refused)
    with pytest.raises(PlatformError):
        ended("tiny-v2")
    assert agrees()  # the warden has taken the challenger out
    assert route().challenger == "" and not ledger.quarantined(read_ledger("tiny"))


def test_a_bad_release_is_in_quarantine_also_when_envoy_does_not_take_its_withdrawal(tiny, monkeypatch):
    serves("tiny-v1")
    given, refused = gateway_files.deliver, PlatformError("Envoy says no.")

    def deliver(name: str, *rest: object) -> None:
        if serving.read().untold:
            raise refused
        given(name, *rest)

    bad = Verdict(decision="fail", reasons=("it is wrong",), checks=(), needs=0)

    def failed(rollout: Rollout) -> Verdict:
        routes.point(rollout, challenger="tiny-v2", weight=10)
        monkeypatch.setattr(gateway_files, "deliver", deliver)
        return bad

    monkeypatch.setattr(deploy_module, "shadow_release", failed)
    with pytest.raises(PlatformError, match="says no"):
        ended("tiny-v2")
    assert kinds("tiny-v2")[-2:] == ["failed", "quarantined"]
    assert agrees()  # the warden's Envoy takes it
    assert route().challenger == "" and kinds("tiny-v2")[-1] == "quarantined"


def test_approval(tiny):
    serves("tiny-v1")
    tiny.change(approval="manual")
    assert ended("tiny-v2").result == "waiting for approval"
    assert serving.read().route("staging", "tiny").champion == "tiny-v2"
    approval.refuse("tiny", "tiny-v2", "it smells")
    with pytest.raises(RolloutError, match="refused"):
        ended("tiny-v2")
    approval.approve("tiny", "tiny-v2", "it does not")
    assert ended("tiny-v2").result == "healthy"
    assert agrees()


def test_one_deploy_at_a_time_and_a_rollback_ends_it(tiny):
    serves("tiny-v1")
    tiny.change(step_seconds=2 * PATIENCE)
    first = tiny.deploy("tiny-v2")
    until_challenged()
    with pytest.raises(RolloutError, match="Another deploy"):
        ended("tiny-v2")
    found = rollback.roll_back("tiny", "somebody complained")
    assert (found.bad, found.target, found.warm) == ("tiny-v2", "tiny-v1", True)
    said, _ = first.communicate(timeout=PATIENCE)
    assert first.returncode and "ended by somebody else" in said
    assert agrees() and route() == Route(champion="tiny-v1", serve=route().serve)
    assert kinds("tiny-v2")[-1] == "quarantined"


def test_a_rollback_at_the_moment_of_promotion_wins(tiny):
    """The deploy waits for the lock that the rollback holds; what it then finds is not its route any more."""
    serves("tiny-v1")
    with deploying("tiny"):
        project = load_project("tiny")
        made = deploy_module.plan_rollout(project, "tiny-v2", "r1", force=False, reason="")
        rollout = Rollout(made, packaged("tiny", "tiny-v2"), project)
        with serving.kept("tiny-v2"):
            deploy_module.start_release.fn(rollout)
            routes.point(rollout, challenger="tiny-v2", weight=10)
            rollback.roll_back("tiny", "no")
            for step in (
                deploy_module.promote_release.fn,
                functools.partial(deploy_module.give_traffic.fn, percent=50),
            ):
                with pytest.raises(RolloutError, match="somebody else"):
                    step(rollout)
    assert agrees() and route().champion == "tiny-v1"


def test_killed_between_promotion_and_ledger_and_then_the_bake_is_taken_up(tiny):
    serves("tiny-v1")
    server = server_of(packaged("tiny", "tiny-v2"), route().serve)
    with serving.kept("tiny-v2"):
        serving.start(server)
        assert release_server.becomes_ready("tiny-v2")
        left = Route(champion="tiny-v2", fallback="tiny-v1", rollout="dead", serve=route().serve)
        serving.change(lambda desired: with_route(desired, "production", "tiny", left))
    assert agrees()  # the warden has told the ledger
    assert kinds("tiny-v2")[-1] == "promoted"
    assert route().fallback == "tiny-v1"
    assert ended("tiny-v2").result == "healthy"
    assert agrees() and route().fallback == ""


def test_down_in_the_middle_is_not_the_releases_fault(tiny):
    serves("tiny-v1")
    tiny.change(step_seconds=2 * PATIENCE)
    going = tiny.deploy("tiny-v2")
    until_challenged()
    platform.down()
    said, _ = going.communicate(timeout=PATIENCE)
    assert going.returncode and "the platform was stopped" in said
    assert not ledger.quarantined(read_ledger("tiny"))
    platform.serve()
    assert agrees() and route().challenger == ""
    assert kinds("tiny-v2")[-1] == "stopped"
