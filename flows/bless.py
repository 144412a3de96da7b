"""bless: a person lets a candidate serve that its gates have rejected, in the open and for a time.

Reads the ledger's record of the rejection; trains nothing. The candidate is packaged, checked in a real server and
registered as any other; its record and the ledger say who overruled which checks, why and until when. Killed before
the ledger has it, nothing has happened; type it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from flows.lifecycle import flow
from penstock.candidate import Candidate, Outcome
from penstock.config import Project
from penstock.ledger import Event
from tasks.data.data import resolve_dataset
from tasks.data.project import load_project, schema_text
from tasks.machine.production import require_named
from tasks.packaging.infra import check_package
from tasks.packaging.packaging import package_model, start_builder
from tasks.packaging.serving_env import prepare_serving, serving_requirements
from tasks.registry.forcing import find_forced, overruled, rejected_candidate, rejected_event
from tasks.registry.registry import recorded_candidate, register
from tasks.reports.mlflow_mirror import is_mirrored, mirror_to_mlflow
from tasks.reports.reporting import write_report
from tasks.store.caching import scope
from tasks.training.lineage import describe_lineage


@flow
def bless(
    config: str, candidate: str = "", reason: str = "", until: str = "", checks: Sequence[str] = (), by: str = ""
) -> Outcome:
    """Give a rejected candidate a version, though its gates were against it.

    ``config``: a project's name or its YAML's path. ``candidate``: `rejected-7`, an identity or its beginning, or a
    version that was forced before; left out, the last one that was rejected. ``until``: `3d` or a date, at most
    `penstock.forcing.MOST_DAYS` away. ``checks``: the names of all checks that failed. ``by``: who answers for it, if
    not who runs this. Raises ConfigError if something of this is missing, nothing was rejected, or what the candidate
    was made of has changed; PackagingError if a server of it does not answer what training computed.
    """
    require_named("bless")
    project = load_project(config)
    scope.set(project.name)
    event = rejected_event(project.name, candidate)
    forced = overruled(event, reason, until, by, checks)
    made = find_forced(event)
    found = recorded_candidate(made) if made else _packaged(event, project)
    blessed = found.model_copy(update={"forced": forced})
    release = register(blessed)
    report = write_report(blessed, release, project)
    if not is_mirrored(release):
        mirror_to_mlflow(blessed, release, report, project)
    return Outcome(release=release, candidate=blessed, report=report)


def _packaged(event: Event, project: Project) -> Candidate:
    """As training would have packaged and checked it. Raises PackagingError: that is no gate, and cannot be forced."""
    schema = schema_text(project)
    lineage = describe_lineage(project, schema, resolve_dataset(project.data, ""))
    candidate = rejected_candidate(event, lineage)
    requirements = serving_requirements()
    start_builder()
    prepare_serving(requirements)
    package = package_model(
        candidate.model,
        candidate.evaluation,
        candidate.splits,
        schema,
        project.features,
        project.package,
        requirements,
        project.name,
    )
    check = check_package(package, candidate.evaluation, candidate.splits, project.features, project.package)
    return candidate.model_copy(update={"package": package, "check": check})
