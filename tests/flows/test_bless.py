"""A person overrules the gates: in the open, for a time, and never what no gate decides."""

from __future__ import annotations

import contextlib
import json
import signal
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import yaml
from click.testing import CliRunner

from benchmarks.tiny import serves
from flows.bless import bless
from flows.cli import main
from flows.compare import compare, explain_gate
from flows.deploy import deploy
from flows.history import history
from flows.plan import plan_run
from flows.status import status
from flows.train import train
from penstock.errors import ConfigError, DataError, PackagingError, Rejected, RolloutError, StorageError
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.registry.ended import ended, tell_expired
from tasks.registry.registry import find_champion, read_ledger, recorded_candidate, register, release_of
from tasks.reports.mlflow_mirror import connect
from tasks.reports.reporting import report_path
from tasks.rollout import warden
from tasks.rollout.rollback import plan_rollback
from tasks.store import store

WORD = {"reason": "the holiday's traffic needs it", "until": "3d", "checks": ("auc",)}


def kinds() -> list[tuple[str, str]]:
    return [(event.kind, event.version) for event in read_ledger("tiny")]


def change(tiny, **sections) -> None:
    path = tiny.root / "configs" / "tiny.yaml"
    tree = yaml.safe_load(path.read_text())
    for section, values in sections.items():
        tree[section] |= values
    path.write_text(yaml.safe_dump(tree, sort_keys=False))


@pytest.fixture(scope="module")
def rejected(tiny):
    """The checkout, where tiny-v1 serves and the last candidate was rejected for its AUC."""
    serves("tiny-v1")
    change(tiny, gate={"metrics": {"auc": {"min": 0.99, "max_loss": 0.05}}}, train={"params": {"max_depth": 2}})
    assert isinstance(train.fn("tiny").data, Rejected)
    return tiny


@contextlib.contextmanager
def undone(tiny):
    """What the block does to the ledger and the YAML is undone at its end."""
    folder, config = settings().ledger / "tiny", tiny.root / "configs" / "tiny.yaml"
    before = {path: path.read_bytes() for path in (*folder.glob("*.json"), config)}
    try:
        yield
    finally:
        for path in folder.glob("*.json"):
            path.unlink()
        for path, content in before.items():
            path.write_bytes(content)


@contextlib.contextmanager
def after(tmp_path, days: int):
    with clock.simulated(tmp_path / "clock", datetime.now(UTC) + timedelta(days=days)):
        yield


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ({"reason": " "}, "needs a reason"),
        ({"until": ""}, "needs a last day"),
        ({"until": "soon"}, "no last day"),
        ({"until": "0d"}, "within 14 days"),
        ({"until": "15d"}, "within 14 days"),
        ({"until": "2020-01-01"}, "within 14 days"),
        ({"checks": ()}, "Name every check"),
        ({"checks": ("auc", "log_loss")}, "not the checks that failed"),
        ({"candidate": "tiny-v2"}, "nothing to force: tiny-v2 has passed"),
    ],
)
def test_what_is_missing_or_not_allowed_is_said(rejected, word, said):
    before = kinds()
    with pytest.raises(ConfigError, match=said):
        bless.fn("tiny", **{**WORD, **word})
    assert kinds() == before


@pytest.mark.parametrize("name", ["rejected-1", "0123456789abcdef", "tiny-v9", "e"])
def test_a_candidate_that_is_none_gets_those_there_are(rejected, name):
    with pytest.raises(DataError) as found:
        bless.fn("tiny", name, **WORD)
    event = read_ledger("tiny")[-1]
    assert found.value.allowed == f"rejected-{event.sequence} ({event.identity[:12]})"


def test_the_command_gives_back_what_to_type(rejected):
    asked = ["bless", "tiny", "--reason", "it's a holiday", "--until", "3d"]
    found = CliRunner().invoke(main, asked)
    assert found.exit_code == 2
    number = read_ledger("tiny")[-1].sequence
    assert (
        f"penstock bless tiny rejected-{number} --reason 'it'\"'\"'s a holiday' --until 3d --check auc" in found.output
    )
    assert CliRunner().invoke(main, ["bless", "tiny", "--until", "3d"]).exit_code == 2


def test_another_candidate_than_the_one_that_was_rejected_is_not_blessed(rejected):
    identity = read_ledger("tiny")[-1].identity
    with undone(rejected):
        change(rejected, train={"params": {"max_depth": 5}})
        with pytest.raises(ConfigError, match="has changed since") as found:
            bless.fn("tiny", identity[:10], **WORD)
    assert found.value.found == "train.params.max_depth: 2 -> 5"
    with undone(rejected):
        from tasks.registry.releases import tell

        tell("tiny", "promoted", "tiny-v2", "somebody deployed it")
        with pytest.raises(ConfigError, match="not judged beside the champion") as found:
            bless.fn("tiny", **WORD)
    assert found.value.found == "then: tiny-v1; now: tiny-v2"


def test_what_is_not_there_cannot_be_blessed(rejected):
    candidate = recorded_candidate.fn(release_of(read_ledger("tiny")[-1]))
    path, before = store.locate(candidate.model.booster), kinds()
    moved = path.rename(path.with_suffix(".away"))
    try:
        with pytest.raises(StorageError, match="missing or damaged"):
            bless.fn("tiny", **WORD)
    finally:
        moved.rename(path)
    assert kinds() == before


def test_a_server_that_answers_otherwise_cannot_be_overruled(rejected):
    candidate = recorded_candidate.fn(release_of(read_ledger("tiny")[-1]))
    with store.new_file("predictions.parquet") as draft:
        scored = pl.read_parquet(store.locate(candidate.evaluation.predictions))
        scored.with_columns(pl.col("score") * 0.5).write_parquet(draft.path)
    evaluation = candidate.evaluation.model_copy(update={"predictions": draft.ref})
    with undone(rejected):
        register.fn(candidate.model_copy(update={"evaluation": evaluation}))
        before = kinds()
        with pytest.raises(PackagingError, match="does not answer what the trained model answers"):
            bless.fn("tiny", **WORD)
        assert kinds() == before


DYING = """
import os, signal
from flows.bless import bless
from tasks.registry import ledger_store
ledger_store.append = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
bless.fn("tiny", reason="the holiday's traffic needs it", until="3d", checks=["auc"])
"""


@pytest.fixture(scope="module")
def blessed(rejected):
    """What came of a forced blessing that was killed before the ledger had it, and was typed again."""
    before = kinds()
    dying = rejected.start("-c", DYING)
    said, _ = dying.communicate(timeout=120)
    assert dying.returncode == -signal.SIGKILL, said
    assert kinds() == before
    outcome = bless.fn("tiny", **WORD, by="Ana")
    assert kinds() == [*before, ("forced", "tiny-v3")]
    assert bless.fn("tiny", **WORD, by="Ana").release == outcome.release.model_copy(update={"new": False})
    return outcome


def test_its_record_says_who_overruled_what_and_until_when(blessed):
    event, until = read_ledger("tiny")[-1], str((datetime.now(UTC) + timedelta(days=3)).date())
    assert (event.facts["by"], event.facts["until"], event.facts["reason"]) == ("Ana", until, WORD["reason"])
    assert event.facts["failed"].startswith("auc: 0.8") and "must be at least 0.99" in event.facts["failed"]
    candidate = recorded_candidate.fn(blessed.release)
    assert candidate.forced.by == "Ana" and not candidate.decision.passed
    assert candidate.check.max_difference == 0
    assert "Blessed by force, until " + until in report_path("tiny", "tiny-v3").read_text()
    client = connect()
    assert client.get_model_version_by_alias("tiny", "blessed").tags["penstock.version"] == "tiny-v2"
    told = client.get_model_version_by_alias("tiny", "v3-release").tags
    assert told["penstock.blessing"] == "forced" and "by Ana until" in told["penstock.forced"]


def test_its_identity_is_what_it_was_and_training_it_again_finds_it(blessed, rejected):
    assert blessed.release.identity == next(one for one in read_ledger("tiny") if one.kind == "rejected").identity
    found = train.fn("tiny")
    assert (found.release.version, found.release.verdict, found.release.new) == ("tiny-v3", "forced", False)
    assert explain_gate("tiny").name == "tiny-v3"
    assert "FORCED: tiny-v3 was blessed by force by Ana" in str(explain_gate("tiny"))
    assert compare("tiny", "tiny-v1", "tiny-v3").after.verdict.startswith("forced by Ana until")


@pytest.fixture(scope="module")
def deployed(blessed):
    assert deploy.fn("tiny").result == "healthy"
    return blessed


def test_it_serves_and_everybody_can_see_how_it_came_to(deployed):
    [project] = status("tiny").projects
    assert project.standing.startswith("tiny-v3 serves") and project.standing.endswith("by force")
    assert "FORCED: tiny-v3 was blessed by force by Ana" in status("tiny").text()
    assert "until now; by force until" in str(history("tiny"))
    other = deployed.candidate.lineage.model_copy(update={"dataset": "another"})
    champion = find_champion.fn(other)
    assert champion.version == "tiny-v3" and "blessed by force by Ana" in champion.why
    assert tell_expired("tiny") is None


def test_after_its_last_day_nothing_goes_on_as_if_it_had_not_come(deployed, rejected, tmp_path):
    with undone(rejected), after(tmp_path, days=4):
        for version in ("", "tiny-v3"):
            with pytest.raises(RolloutError, match="blessed by force, and that ended"):
                deploy.fn("tiny", version)
        with pytest.raises(RolloutError, match="that ended"):
            deploy.fn("tiny", "tiny-v3", force=True, reason="it must")
        assert (plan_run("tiny")[-1].runs, "deploy refuses it" in plan_run("tiny")[-1].reasons[0]) == (True, True)
        assert "its forced blessing is OVER" in status("tiny").text() and "AND THAT IS OVER" in status("tiny").text()
        assert "AND THAT IS OVER" in str(explain_gate("tiny", "tiny-v3"))
        assert tell_expired("tiny").kind == "expired"
        assert tell_expired("tiny") is None
        assert plan_rollback("tiny").target == "tiny-v1"


def test_the_warden_tells_it_once_and_rolls_nothing_back(deployed, rejected):
    with undone(rejected):
        event = next(one for one in read_ledger("tiny") if one.kind == "forced")
        path = settings().ledger / "tiny" / f"{event.sequence:06}.json"
        facts = {**event.facts, "until": "2020-01-01"}
        path.unlink()
        path.write_text(event.model_copy(update={"facts": facts}).model_dump_json())
        seen = warden.remind((0, datetime.now(UTC).date()))
        assert kinds()[-1] == ("expired", "tiny-v3")
        assert warden.remind(seen) == seen
        warden.remind((0, datetime.now(UTC).date()))
        assert tell_expired("tiny") is None
        assert [kind for kind, _ in kinds()].count("expired") == 1


def test_a_rollback_goes_to_it_in_its_time_and_not_silently_after(deployed, rejected, tmp_path):
    assert deploy.fn("tiny", "tiny-v2").result == "healthy"
    assert plan_rollback("tiny").target == "tiny-v3"
    with after(tmp_path, days=4):
        assert list(ended("tiny")) == ["tiny-v3"]
        assert plan_rollback("tiny").target == "tiny-v1"
        with pytest.raises(RolloutError, match="blessed by force, and that ended"):
            plan_rollback("tiny", "tiny-v3")
        assert plan_rollback("tiny", "tiny-v3", force=True).target == "tiny-v3"


def test_its_time_can_be_extended_whatever_has_changed_since(deployed, rejected, tmp_path):
    with undone(rejected), after(tmp_path, days=4):
        change(rejected, train={"params": {"max_depth": 5}})
        longer = bless.fn("tiny", "tiny-v3", **{**WORD, "reason": "it goes on"})
        assert (longer.release.version, longer.release.new, ended("tiny")) == ("tiny-v3", True, {})
        assert longer.candidate.package == deployed.candidate.package
        assert tell_expired("tiny") is None


def test_json_has_it_too(deployed):
    said = json.loads(CliRunner().invoke(main, ["explain-gate", "tiny", "tiny-v3", "--json"]).output)
    assert said["forced"].startswith("tiny-v3 was blessed by force by Ana")
