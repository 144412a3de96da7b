"""What rows of a file are scored by, as a value that can be sent to a cluster's workers."""

from __future__ import annotations

from penstock.config import Project
from penstock.refs import FileRef, Value
from tasks.registry.releases import Packaged


class Basis(Value):
    """What rows are scored by: a release's files, and the columns that its project has named.

    ``named``: names of a row; ``beside``: what else the log keeps; ``keys``: more columns that the output repeats, of
    any type.
    """

    version: str
    config: FileRef
    schema_text: FileRef
    schema_spec: FileRef
    booster: FileRef
    metrics: FileRef
    named: tuple[str, ...]
    beside: tuple[str, ...]
    keys: tuple[str, ...]


def basis(release: Packaged, project: Project, keys: tuple[str, ...]) -> Basis:
    candidate, labels = release.candidate, project.labels
    assert candidate.package is not None  # `packaged()` gives no other
    return Basis(
        version=release.version,
        config=candidate.lineage.config,
        schema_text=candidate.lineage.schema_text,
        schema_spec=candidate.package.schema_spec,
        booster=candidate.model.booster,
        metrics=candidate.evaluation.metrics,
        named=tuple(labels.key_columns),
        beside=(*project.evaluate.slices, *filter(None, (labels.time,))),
        keys=keys,
    )
