"""plan: what `penstock run` would do now, and why, without running anything and without importing Prefect."""

from __future__ import annotations

from penstock import ledger
from penstock.candidate import Outcome
from penstock.errors import DataError
from tasks.data.ingestion import pending_batches
from tasks.data.project import load_project
from tasks.registry.ended import ended
from tasks.registry.registry import read_ledger
from tasks.serving import serving
from tasks.store.caching import PlannedStep, planning


def plan_run(config: str) -> list[PlannedStep]:
    """Every step of ingest and train: whether it would run, and why. The errors are those the run would end with."""
    return _walk(config)[0]


def nothing_to_do(config: str) -> Outcome | None:
    """What the last run ended with, if running again would change nothing; else None."""
    try:
        steps, outcome = _walk(config)
    except DataError:  # not ingested yet, or damaged: the run itself says it best
        return None
    return outcome if outcome is not None and not any(step.runs for step in steps) else None


def _deploy_step(project: str, outcome: object) -> PlannedStep:
    if not isinstance(outcome, Outcome):
        return PlannedStep(name="deploy", runs=True, reasons=("needs what `register` makes",))
    version = outcome.release.version
    route = serving.read().route("production", project)
    events = read_ledger(project)
    if outcome.release.verdict == "rejected":
        return PlannedStep(name="deploy", runs=False, reasons=())
    over = ended(project)
    if version in over:
        why = f"{version} was blessed by force, and that ended with {over[version].until}: deploy refuses it"
        return PlannedStep(name="deploy", runs=True, reasons=(why,))
    if route is None or route.champion != version:
        now = f"; {route.champion} does" if route else ""
        why = f"{version} does not serve{now}"
        if version in ledger.quarantined(events):
            why += f"; {version} is in quarantine: {ledger.quarantined(events)[version]}"
        return PlannedStep(name="deploy", runs=True, reasons=(why,))
    if not ledger.is_healthy(events, version):
        return PlannedStep(name="deploy", runs=True, reasons=(f"{version} has not been found healthy yet",))
    return PlannedStep(name="deploy", runs=False, reasons=())


def _walk(config: str) -> tuple[list[PlannedStep], Outcome | None]:
    from flows.train import train

    project = load_project(config)
    pending = pending_batches(project)
    if pending:
        what = pending[0] if len(pending) == 1 else f"{pending[0]} .. {pending[-1]}, {len(pending)} batches"
        ingest = PlannedStep(name="ingest", runs=True, reasons=(f"not in the dataset yet: {what}",))
        later = [("train", "ingest"), ("deploy", "train")]
        steps = [PlannedStep(name=name, runs=True, reasons=(f"needs what `{of}` makes",)) for name, of in later]
        return [ingest, *steps], None
    with planning() as steps:
        outcome = train.fn(config)
    steps.append(_deploy_step(project.name, outcome))
    return steps, outcome if isinstance(outcome, Outcome) else None
