"""Staging and production with homes of their own, which share a store: what was healthy there serves here."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.tiny import DEPLOY
from penstock.desired import Desired
from penstock.ledger import Event, seen_in, serving
from tasks.packaging.packaging import content_digest

DOWN = "from tasks.platform import platform; platform.down()"
OWN = "PENSTOCK_HOME=${PENSTOCK_HOME}\n"


@pytest.fixture
def places(releases, tmp_path):
    """(run Python in an environment, the homes of staging and production)."""
    tiny = releases.copy(tmp_path / "checkout")
    (tiny.root / "environments").mkdir()
    store = tmp_path / "shared"
    for part in ("store", "ledger"):  # as docs/team.md says, from alone to a team
        shutil.copytree(tiny.home / part, store / part)
    for name, more in (("staging", ""), ("production", "PENSTOCK_PROMOTE_FROM=staging\n")):
        (tiny.root / "environments" / f"{name}.env").write_text(f"{OWN}PENSTOCK_STORE={store}\n{more}")
    homes = {name: tmp_path / name for name in ("staging", "production")}
    for home in homes.values():
        home.mkdir()
        (home / "environments").symlink_to(tiny.home / "environments")

    def run(name, *arguments, **variables):
        given = {"PENSTOCK_ENV": name, "PENSTOCK_HOME": str(homes[name]), "PENSTOCK_CONFIRM_ENV": name} | variables
        return tiny.python("-c", *arguments, **given)

    yield run, homes
    for name in homes:
        run(name, DOWN)


def test_what_staging_found_healthy_serves_in_production_byte_for_byte(places):
    run, homes = places
    with pytest.raises(RuntimeError, match="does not name it"):
        run("production", DEPLOY, "tiny-v1", PENSTOCK_CONFIRM_ENV="")
    with pytest.raises(RuntimeError, match="never deployed in staging"):
        run("production", DEPLOY, "tiny-v1")
    assert "tiny-v1: healthy" in run("staging", DEPLOY, "tiny-v1")
    assert "tiny-v1: healthy" in run("production", DEPLOY, "tiny-v1")
    digests = []
    for home in homes.values():
        desired = Desired.model_validate_json((home / "serving" / "desired.json").read_bytes())
        tag = desired.servers["tiny-v1"].package.tag.replace(":", "-")
        (bento,) = (home / "bentos").glob(f"{tag}-*")
        digests.append(content_digest(bento))
    assert digests[0] == digests[1]
    files = sorted((homes["staging"].parent / "shared" / "ledger" / "tiny").glob("*.json"))
    events = [Event.model_validate_json(path.read_bytes()) for path in files]
    for name in homes:
        told = [event for event in seen_in(events, name) if event.environment == name]
        assert [event.kind for event in told] == ["staged", "promoted", "healthy"]
        assert told[-1].facts["digest"] == digests[0]
        assert serving(seen_in(events, name)).version == "tiny-v1"
    assert serving(seen_in(events, "")) is None
