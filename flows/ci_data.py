"""ci_data: the pinned dataset version, validated, and beside the base's and the champion's. Writes no release."""

from __future__ import annotations

from flows.lifecycle import flow
from penstock.ci_found import DataFound
from penstock.comparison import changes
from tasks.ci.ci_base import Base, Known, base_of, champions_data, compare_data, moved
from tasks.data.data import resolve_dataset
from tasks.data.profiling import profile_splits
from tasks.data.project import load_project, schema_text
from tasks.data.validation import validate_dataset
from tasks.registry.comparing import schema_columns
from tasks.store.caching import scope
from tasks.training.splitting import split_dataset


@flow
def ci_data(config: str, base: str = "") -> DataFound:
    """Validate a project's dataset as the working tree pins it, and look for drift.

    ``config``: a project's name or its YAML's path. ``base``: the commit that the change is compared with, "" for none.
    Drift is measured from the champion's training data, or where there is no champion, from the base's. Raises
    DataError where the data are not to be had, or refused.
    """
    project = load_project(config)
    scope.set(project.name)
    schema = schema_text(project)
    dataset = resolve_dataset(project.data)
    checked = validate_dataset(dataset, schema, project.data)
    splits = split_dataset(dataset, checked, project.features, project.split, project.evaluate, project.train.task)
    profiles = profile_splits(splits, project.features)
    before = base_of(project.name, base, dataset)
    known = champions_data(project.name) or _of_base(before, dataset.version)
    verdict = compare_data(project, splits, profiles, known) if known else None
    sides = [{file.path: file.md5[:12] for file in one.files} for one in (before.dataset or dataset, dataset)]
    return DataFound(
        project=project.name,
        version=dataset.version,
        batches=len(dataset.files),
        rows=checked.rows,
        invalid=checked.invalid,
        splits=splits.rows,
        base_version=before.dataset.version if before.dataset else "",
        files=changes(*sides),
        schema_columns=changes(schema_columns(before.schema_text or schema), schema_columns(schema)),
        against=known.name if known else "",
        moved=moved(verdict) if verdict else (),
        drift=str(verdict) if verdict else "",
    )


def _of_base(base: Base, version: str) -> Known | None:
    """The base's training data; None where they are the same, or there are none."""
    project, dataset = base.project, base.dataset
    if project is None or dataset is None or dataset.version == version:
        return None
    checked = validate_dataset(dataset, base.schema_text, project.data)
    splits = split_dataset(dataset, checked, project.features, project.split, project.evaluate, project.train.task)
    profiles = profile_splits(splits, project.features)
    return Known(name=base.name, profile=profiles.train, categories=splits.categories)
