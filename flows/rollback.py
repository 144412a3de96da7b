"""rollback: back to the last release that was healthy, at once; the one that served is put into quarantine.

The command `penstock rollback` does the same without Prefect, and so works when Prefect's server is down.
"""

from __future__ import annotations

from flows.lifecycle import flow
from tasks.data.project import load_project
from tasks.reports.mlflow_aliases import tell_mlflow
from tasks.rollout.rollback import Rollback, plan_rollback, roll_back


@flow
def rollback(config: str, reason: str, to: str = "", force: bool = False, dry_run: bool = False) -> Rollback:
    """Go back to ``to``, or to the last release that was healthy.

    ``config``: a project's name or its YAML's path. ``dry_run`` says where to, and changes nothing. Raises
    `penstock.errors.RolloutError` when there is nothing to go back to.
    """
    project = load_project(config).name
    if dry_run:
        return plan_rollback(project, to, force)
    done = roll_back(project, reason, to, force)
    tell_mlflow(project)
    return done
