"""Tells MLflow's registry who serves: the alias `champion`, and a tag on releases in quarantine.

Only a mirror, told after the fact: whether MLflow is there decides nothing. Environments may share one MLflow, and what
happens to a release is of one of them: alias and tag have its name, but for development's.
"""

from __future__ import annotations

from penstock import ledger
from penstock.errors import UnreachableError
from tasks.machine.redaction import without_secrets
from tasks.machine.settings import settings
from tasks.registry.registry import read_ledger
from tasks.reports.mlflow_mirror import connect
from tasks.store import locks, patience
from tasks.store.caching import task

CHAMPION, QUARANTINED = "champion", "penstock.quarantined"


@task(cached=False, name="tell mlflow")
def tell_mlflow(project: str) -> str:
    """Alias and tags as the ledger has them. What goes wrong is returned in words, never raised."""
    try:
        with patience.within(patience.HURRY):
            events = read_ledger(project)
    except UnreachableError as error:
        return f"MLflow was not told who serves: {error.what}"
    serves, barred = ledger.serving(events), ledger.quarantined(events)
    champion, quarantined = _here(CHAMPION), _here(QUARANTINED)
    try:
        with locks.exclusive("mlflow", timeout=60):
            client = connect()
            for found in client.search_model_versions(f"name = '{project}'"):
                version = found.tags.get("penstock.version", "")
                if serves and version == serves.version:
                    client.set_registered_model_alias(project, champion, found.version)
                if version in barred:
                    client.set_model_version_tag(project, found.version, quarantined, barred[version][:500])
                elif quarantined in found.tags:
                    client.delete_model_version_tag(project, found.version, quarantined)
    except Exception as error:  # noqa: BLE001  # MLflow's, SQLAlchemy's, requests' own
        said = without_secrets(str(error)).strip() or type(error).__name__
        return f"MLflow was not told who serves: {said.splitlines()[0][:200]}"
    return ""


def _here(name: str) -> str:
    """`champion`; `champion-staging` in the environment `staging`."""
    environment = settings().environment
    return f"{name}-{environment}" if environment else name
