"""new: from a table to a project's files. Infers once, writes down what and why; then they are the user's.

No Prefect flow: there is nothing yet to record it under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.baseline import Baseline, baseline
from penstock.config import FeaturesConfig
from penstock.infer import Inferred, infer
from penstock.project_text import project_text, schema_text
from tasks.data.looking import Counts, count_all, look_at, settled
from tasks.data.project import load_project
from tasks.data.project_files import dataset_folder, require_free, write_project
from tasks.machine import memory
from tasks.machine.settings import settings

if TYPE_CHECKING:
    from penstock.task_type import TaskName


@dataclass(frozen=True)
class NewProject:
    """What was decided of a table, what of it was measured, and which files have it now."""

    name: str
    found: Inferred
    counts: Counts
    split_by: str
    base: Baseline | None
    written: list[str]


def new(
    name: str,
    place: str,
    target: str,
    *,
    task: TaskName | None = None,
    query: str = "",
    watermark: str = "",
    force: bool = False,
) -> NewProject:
    """Write configs/NAME.yaml and configs/schemas/NAME.yaml for the rows of ``place``, and NAME's deployments.

    ``place``, ``query`` and ``watermark`` are those of `tasks.data.looking.look_at`. Raises ConfigError if the project
    exists and ``force`` is not given; DataError if the rows cannot be read or used.
    Nothing is written then.
    """
    require_free(name, force)
    source, sample = look_at(place, target, query, watermark)
    found = infer(sample, source, target, task)
    del sample
    memory.give_back()  # reading all rows comes on top of what is left
    counts = count_all(found)
    better = settled(found, counts)
    if better.schema != found.schema:  # what is text now is no longer unreadable
        found, counts = better, count_all(better)
    split_by, base = _baseline(found)
    folder = dataset_folder(name, found.source.files)
    text = project_text(name, folder, found, split_by, base, counts.rows, counts.share)
    written = write_project(name, text, schema_text(name, found), force)
    load_project(name)
    return NewProject(name, found, counts, split_by, base, written)


def features_of(found: Inferred) -> FeaturesConfig:
    """The section `features` as it is written."""
    return FeaturesConfig(
        label=found.label,
        time=next(iter(found.names("time")), None),
        group=next(iter(found.names("group")), None),
        categorical=tuple(found.names("categorical")),
        numeric=tuple(found.names("numeric")),
        known_after=tuple(found.names("leak")),
    )


def _baseline(found: Inferred) -> tuple[str, Baseline | None]:
    """How to split, and the baseline of it: at random where later rows, or a group's, lack a class."""
    features = features_of(found)
    rows = found.rows
    target = found.target
    for split_by in dict.fromkeys([found.split_by, found.by_chance]):
        needed = {"time": features.time, "group": features.group}.get(split_by)
        usable = rows.drop_nulls(needed) if needed else rows
        base = baseline(usable, features, split_by, settings().cpus, target.task, target.counts)
        if base is not None:
            return split_by, base
    return found.by_chance, None
