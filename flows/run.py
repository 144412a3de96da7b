"""run: the main job. Ingests what the project's YAML asks for, then trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.ingest import ingest
from flows.lifecycle import flow, rejected_state
from flows.train import train
from penstock.candidate import Outcome
from penstock.errors import Rejected
from tasks.ingestion import pending_batches
from tasks.project import load_project

if TYPE_CHECKING:
    from prefect import State


@flow
def run(config: str) -> Outcome | State[Outcome]:
    """Ingest every batch up to `data.until` that is not there yet, then train. Raises what those two raise."""
    project = load_project(config)
    pending = pending_batches(project)
    if pending:
        ingest(config, until=pending[-1])
    try:
        outcome: Outcome = train(config)
    except Rejected as error:
        return rejected_state(error)
    return outcome
