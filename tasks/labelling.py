"""Records labels of a project and says what they belong to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from penstock.config import Project
from penstock.label_coverage import Coverage, coverage
from penstock.label_rows import given_labels
from penstock.labels import labelled, require_row_numbers, unmatched
from penstock.live_metrics import WindowScore, score_windows
from penstock.refs import Value
from penstock.schema import parse_schema
from tasks import label_store, live_store
from tasks.caching import task
from tasks.label_sources import LabelSource, read_labels
from tasks.label_store import Recorded
from tasks.project import schema_text
from tasks.served_store import read_served

if TYPE_CHECKING:
    import polars as pl


class Labelled(Value):
    """What a batch of labels did. ``unmatched``: labels of it that belong to no prediction that is known (yet)."""

    recorded: Recorded
    unmatched: int

    def __str__(self) -> str:
        return f"{self.recorded}, {self.unmatched:,} without a prediction"


@task(cached=False)
def record_labels(project: Project, source: LabelSource, again: bool = False) -> Labelled:
    """Read, check and record a batch of labels. Raises ConfigError, DataError or StorageError; then nothing changed."""
    config, kinds, where = project.labels, key_kinds(project), str(source)
    given = given_labels(read_labels(source), config, config.column or project.features.label, kinds, where)
    served = read_served(project.name, config.key_columns)
    if not given.numbered:
        require_row_numbers(given.rows, served, where)
    recorded = label_store.append(project.name, given, config, where, again)
    return Labelled(recorded=recorded, unmatched=unmatched(given.rows, served, config, kinds))


@task(cached=False, reads=True)
def label_coverage(project: Project) -> list[Coverage]:
    """How much of each period is labelled now."""
    return coverage(labelled_predictions(project), project.labels, datetime.now(UTC))


def labelled_predictions(project: Project, fields: tuple[str, ...] = ()) -> pl.DataFrame:
    """What served production and is to be judged, with its labels: see `penstock.labels.labelled`.

    With the key columns, the time and ``fields`` of the rows, such as those of slices, as text.
    """
    config = project.labels
    wanted = tuple(filter(None, (*config.key_columns, config.time, *fields)))
    state = label_store.state(project.name, config.key)
    return labelled(read_served(project.name, wanted), state, config, key_kinds(project))


def live_scores(project: Project) -> list[WindowScore]:
    """The quality of what was served, by release and period, as far as labels have come; slices of the evaluation.

    It is also kept for those who only show it: `tasks/live_store.py`.
    """
    slices = project.evaluate.slices
    rows = labelled_predictions(project, slices)
    found = score_windows(rows, project.labels, slices, project.evaluate.min_slice_rows, datetime.now(UTC))
    live_store.keep(project.name, found)
    return found


def key_kinds(project: Project) -> dict[str, str]:
    """The schema's types of the key columns."""
    columns = parse_schema(schema_text(project), project.schema_file).columns
    return {name: columns[name].dtype for name in project.labels.key_columns}
