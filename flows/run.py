"""run: the main job. Ingests what the project's YAML asks for, trains, and brings the release into production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.deploy import deploy
from flows.ingest import ingest
from flows.lifecycle import flow, rejected_state, rollout_state
from flows.train import train
from penstock.candidate import Outcome
from penstock.errors import Rejected, RolloutError
from penstock.refs import Value
from penstock.rollout import Deployment
from tasks.data.ingestion import pending_batches
from tasks.data.project import load_project
from tasks.platform.events import chained

if TYPE_CHECKING:
    from prefect import State


class Run(Value):
    """What training ended with, and how the release came to serve."""

    outcome: Outcome
    deployment: Deployment


@flow
def run(config: str) -> Run | State[Run]:
    """Ingest every batch up to `data.until` that is not there yet, train, deploy. Raises what those three raise."""
    project = load_project(config)
    pending = pending_batches(project)
    with chained():  # no trigger is to train or deploy what is trained and deployed here
        if pending:
            ingest(config, until=pending[-1])
        try:
            outcome: Outcome = train(config)
        except Rejected as error:
            return rejected_state(error)
    try:
        deployment: Deployment = deploy(config, outcome.release.version, wait=True)
    except RolloutError as error:
        error.outcome = outcome
        return rollout_state(error)
    return Run(outcome=outcome, deployment=deployment)
