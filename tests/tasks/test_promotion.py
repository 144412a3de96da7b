"""A release comes from staging into production: with its real package, and with one that was tampered with."""

from __future__ import annotations

import os
import tarfile

import pytest

from penstock import ledger
from penstock.errors import PackagingError, RolloutError, StorageError
from penstock.promotion import served
from tasks.data.project import load_project
from tasks.machine.settings import settings
from tasks.packaging.model_server import unpacked
from tasks.packaging.packaging import content_digest
from tasks.registry.registry import read_ledger, register
from tasks.registry.releases import packaged, tell
from tasks.rollout.rollout import plan_rollout
from tasks.store import store
from tests.candidates import made


@pytest.fixture
def places(checkout, tmp_path):
    """Staging and production, which share the ledger; goes to the environment of a name."""
    before = dict(os.environ)
    (checkout.root / "environments").mkdir()
    own = "PENSTOCK_HOME=${PENSTOCK_HOME}\n"
    (checkout.root / "environments" / "staging.env").write_text(own)
    (checkout.root / "environments" / "production.env").write_text(own + "PENSTOCK_PROMOTE_FROM=staging\n")

    def go(name):
        os.environ.clear()
        os.environ.update(before, PENSTOCK_ENV=name)
        settings.cache_clear()

    yield go
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()


def released(tmp_path, dataset="d1"):
    """A release with a package that can be unpacked."""
    context = tmp_path / dataset
    context.mkdir()
    (context / "model.ubj").write_bytes(dataset.encode())
    with store.new_file("bento.tar") as draft, tarfile.open(draft.path, "w") as archive:
        archive.add(context / "model.ubj", "model.ubj")
    candidate = made(dataset)
    package = candidate.package.model_copy(update={"bento": draft.ref, "digest": content_digest(context)})
    return register(candidate.model_copy(update={"package": package})).version


def planned(version):
    return plan_rollout(load_project("tiny"), version, "r", force=False, reason="")


def healthy(version):
    tell("tiny", "promoted", version, "took over")
    tell("tiny", "healthy", version, "within its limits", **served(packaged("tiny", version).package))


def overwrite(path, content):
    path.chmod(0o644)
    path.write_bytes(content)


def test_what_staging_served_is_what_production_serves(places, tmp_path):
    places("staging")
    version = released(tmp_path)
    assert planned(version).version == version  # staging asks nobody
    healthy(version)
    places("production")
    assert planned(version).version == version
    assert ledger.serving(read_ledger("tiny")) is None


def test_a_release_that_was_never_staged_is_refused_also_by_force(places, tmp_path):
    places("staging")
    healthy(released(tmp_path))
    other = released(tmp_path, "d2")
    places("production")
    for force in (False, True):
        with pytest.raises(RolloutError, match="never deployed in staging") as caught:
            plan_rollout(load_project("tiny"), other, "r", force, "because")
        assert "healthy in staging: tiny-v1" in caught.value.text()


def test_a_package_that_was_tampered_with_is_refused(places, tmp_path):
    places("staging")
    version = released(tmp_path)
    healthy(version)
    places("production")
    package = packaged("tiny", version).package
    folder = unpacked(package)
    overwrite(folder / "model.ubj", b"evil")
    planned(version)  # unpacked again, from the archive
    assert (folder / "model.ubj").read_bytes() == b"d1"
    overwrite(folder / "model.ubj", b"evil")
    overwrite(store.locate(package.bento), b"evil")
    with pytest.raises((StorageError, PackagingError)):
        planned(version)


def test_another_package_under_the_same_version_is_refused(places, tmp_path):
    places("staging")
    version = released(tmp_path)
    healthy(version)
    candidate = made("d1")  # the same lineage, with another package: "its files were made again"
    assert register(candidate).version == version
    places("production")
    with pytest.raises(RolloutError, match="is not what staging served"):
        planned(version)
