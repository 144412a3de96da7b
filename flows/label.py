"""label: labels that came after the predictions are recorded, and the quality of what served can be told.

Reads a file or a database; appends to the label ledger under the home. Nothing is trained or deployed.
"""

from __future__ import annotations

from flows.lifecycle import flow
from penstock.label_coverage import Coverage
from penstock.refs import Value
from tasks.data.project import load_project
from tasks.monitoring.label_sources import LabelSource
from tasks.monitoring.labelling import Labelled, record_labels
from tasks.monitoring.scoring import label_coverage, score_periods
from tasks.store.caching import scope


class Label(Value):
    """What a batch of labels did, and how much of each period is labelled now."""

    project: str
    labels: Labelled
    coverage: tuple[Coverage, ...]

    def __str__(self) -> str:
        found = [f"  {period}" for period in self.coverage] or ["  nothing has been served that labels belong to"]
        return "\n".join([f"{self.project}: {self.labels}", *found])


@flow
def label(config: str, file: str = "", sql: str = "", query: str = "", again: bool = False) -> Label:
    """Record the labels of a ``file`` (.csv, .parquet), or those that ``query`` gives from the database at ``sql``.

    ``config``: a project's name or its YAML's path. The same labels twice are recorded once, unless ``again``.
    """
    project = load_project(config)
    scope.set(project.name)
    source = LabelSource(file=file, sql=sql, query=query)
    recorded = record_labels(project, source, again)
    score_periods(project)
    return Label(project=project.name, labels=recorded, coverage=tuple(label_coverage(project)))
