"""After gc, really: the release before serves again by a rollback, and one whose rows are gone is made again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from flows.compare import compare, explain_gate
from flows.ingest import ingest
from flows.reproduce import reproduce
from flows.train import train
from tasks.machine import clock
from tasks.operations.collecting_garbage import forecast, free
from tasks.registry.releases import packaged
from tasks.store import store
from tasks.store.caching import file_refs
from tests.conftest import new_checkout

DAY = 86_400.0


@pytest.fixture(scope="module")
def superseded(tmp_path_factory, environments, template):
    """tiny-v1 and tiny-v2, each trained at a commit, and then everything but tiny-v2 collected, sixty days later."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("gc")
    with patch.context(), new_checkout(folder, environments, template, patch) as checkout:
        (checkout.root / ".gitignore").write_text(".penstock/\n.dvc/cache/\n__pycache__/\n")
        ingest.fn("tiny", until="b3")
        checkout.git("init", "--quiet")
        path = checkout.root / "configs" / "tiny.yaml"
        for depth in (3, 4):
            tree = yaml.safe_load(path.read_text())
            tree["train"]["params"]["max_depth"] = depth
            path.write_text(yaml.safe_dump(tree, sort_keys=False))
            checkout.git("add", ".")
            checkout.git("commit", "--quiet", "-m", f"depth {depth}")
            train.fn("tiny")
        with clock.simulated(folder / "clock", datetime.now(UTC) + timedelta(days=60)):
            said = forecast(1, 30 * DAY)
            assert free(1, 30 * DAY) == said.model_copy(update={"freed": True})
            assert said.size > 0
        yield checkout
    patch.undo()


def test_both_are_explained_and_compared_and_have_what_a_deploy_reads(superseded):
    assert explain_gate("tiny", "tiny-v1").decision.passed
    assert compare("tiny", "tiny-v1", "tiny-v2").metrics
    for version in ("tiny-v1", "tiny-v2"):
        candidate = packaged("tiny", version).candidate
        rows = {candidate.splits.train, candidate.splits.validation}
        assert all(store.intact(ref) for ref in file_refs(candidate) if ref not in rows), version
    assert all(store.intact(ref) for ref in file_refs(packaged("tiny", "tiny-v2").candidate))


def test_the_older_release_is_made_again_from_its_record(superseded):
    found = reproduce.fn("tiny", "tiny-v1")
    assert found.rebuilt.proved, str(found)
