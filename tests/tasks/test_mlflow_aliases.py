"""MLflow's registry, shared by two environments: each says who serves there, and neither moves what is the other's."""

from __future__ import annotations

import os

import pytest
from mlflow import MlflowClient

from tasks.data.project import load_project
from tasks.machine.settings import settings
from tasks.registry.registry import find_champion, register
from tasks.registry.releases import tell
from tasks.reports.mlflow_aliases import tell_mlflow
from tasks.reports.mlflow_mirror import mirror_to_mlflow, tracking_uri
from tasks.store import store
from tests.candidates import made


@pytest.fixture
def two(checkout):
    """tiny-v1 and tiny-v2 in MLflow, and the environment `staging`, which shares it; what entering it did is undone."""
    first = made()
    release = register(first)
    mirror_to_mlflow(first, release, store.put_bytes(b"<html>", "report.html"), load_project("tiny"))
    second = made("d2", champion=find_champion(made("d2").lineage))
    mirror_to_mlflow(second, register(second), store.put_bytes(b"<html>", "report.html"), load_project("tiny"))
    (checkout.root / "environments").mkdir()
    (checkout.root / "environments" / "staging.env").write_text("PENSTOCK_HOME=${PENSTOCK_HOME}\n")
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()


def entered(name: str) -> None:
    os.environ["PENSTOCK_ENV"] = name
    settings.cache_clear()


def who(alias: str) -> str:
    found = MlflowClient(tracking_uri(), tracking_uri()).get_model_version_by_alias("tiny", alias)
    return str(found.tags["penstock.version"])


def barred() -> dict[str, set[str]]:
    found = MlflowClient(tracking_uri(), tracking_uri()).search_model_versions("name = 'tiny'")
    return {
        each.tags["penstock.version"]: {tag for tag in each.tags if tag.startswith("penstock.quarantined")}
        for each in found
    }


def test_each_environment_has_an_alias_and_a_quarantine_of_its_own(two):
    tell("tiny", "promoted", "tiny-v1", "took over")
    assert tell_mlflow.fn("tiny") == ""
    entered("staging")
    tell("tiny", "promoted", "tiny-v2", "took over")
    tell("tiny", "quarantined", "tiny-v1", "errors")
    assert tell_mlflow.fn("tiny") == ""
    assert (who("champion"), who("champion-staging")) == ("tiny-v1", "tiny-v2")
    assert barred() == {"tiny-v1": {"penstock.quarantined-staging"}, "tiny-v2": set()}

    del os.environ["PENSTOCK_ENV"]
    settings.cache_clear()
    assert tell_mlflow.fn("tiny") == ""  # told again, development takes nothing of staging's away
    assert (who("champion"), who("champion-staging")) == ("tiny-v1", "tiny-v2")
    assert barred() == {"tiny-v1": {"penstock.quarantined-staging"}, "tiny-v2": set()}
