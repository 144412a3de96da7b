"""Tells MLflow's registry who serves: the alias `champion`, and a tag on releases in quarantine.

Only a mirror, told after the fact: whether MLflow is there decides nothing.
"""

from __future__ import annotations

from penstock import ledger
from penstock.errors import UnreachableError
from tasks import locks, patience
from tasks.caching import task
from tasks.mlflow_mirror import connect, without_secrets
from tasks.registry import read_ledger

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
    try:
        with locks.exclusive("mlflow", timeout=60):
            client = connect()
            for found in client.search_model_versions(f"name = '{project}'"):
                version = found.tags.get("penstock.version", "")
                if serves and version == serves.version:
                    client.set_registered_model_alias(project, CHAMPION, found.version)
                if version in barred:
                    client.set_model_version_tag(project, found.version, QUARANTINED, barred[version][:500])
                elif QUARANTINED in found.tags:
                    client.delete_model_version_tag(project, found.version, QUARANTINED)
    except Exception as error:  # noqa: BLE001  # MLflow's, SQLAlchemy's, requests' own
        said = without_secrets(str(error)).strip() or type(error).__name__
        return f"MLflow was not told who serves: {said.splitlines()[0][:200]}"
    return ""
