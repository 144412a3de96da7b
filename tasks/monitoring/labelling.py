"""Records labels of a project and says what they belong to."""

from __future__ import annotations

from penstock.config import Project
from penstock.label_rows import given_labels
from penstock.labels import require_row_numbers, unmatched
from penstock.refs import Value
from penstock.schema import parse_schema
from tasks.data.project import schema_text
from tasks.monitoring import label_store
from tasks.monitoring.collected_store import newest_windows
from tasks.monitoring.label_sources import LabelSource, read_labels
from tasks.monitoring.label_store import Recorded
from tasks.monitoring.served_store import read_served
from tasks.store.caching import task


class Labelled(Value):
    """What a batch of labels did. ``unmatched``: labels of it that belong to no prediction that is known (yet)."""

    recorded: Recorded
    unmatched: int

    def __str__(self) -> str:
        return f"{self.recorded}, {self.unmatched:,} without a prediction"


@task(cached=False)
def record_labels(project: Project, source: LabelSource, again: bool = False) -> Labelled:
    """Read, check and record a batch of labels. Raises ConfigError, DataError or StorageError; then nothing changed."""
    config, kinds, where, task = project.labels, key_kinds(project), str(source), project.train.task
    given = given_labels(read_labels(source), config, config.column or project.features.label, kinds, where, task)
    left = given.rows
    for window in newest_windows(project.name):
        served = read_served([window], config.key_columns, task=task)
        if not given.numbered:
            require_row_numbers(given.rows, served, where)
        left = unmatched(left, served, config, kinds)
    recorded = label_store.append(project.name, given, config, where, again, task)
    return Labelled(recorded=recorded, unmatched=left.height)


def key_kinds(project: Project) -> dict[str, str]:
    """The schema's types of the key columns."""
    columns = parse_schema(schema_text(project), project.schema_file).columns
    return {name: columns[name].dtype for name in project.labels.key_columns}
