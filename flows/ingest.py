"""ingest: new batches of a source become a new version of the dataset.

Reads the source that the project names; writes partitions, DVC's files, quarantine and profiles. Commits to git only
when asked to, and then only the dataset's own .dvc file.
"""

from __future__ import annotations

from flows.lifecycle import flow
from penstock.refs import Value
from tasks.data.git import commit_dataset
from tasks.data.ingestion import Ingested, ingest_batch, ingesting, missing_batches, track_dataset, unpushed
from tasks.data.project import load_project, schema_text
from tasks.platform import events
from tasks.store.caching import scope


class Ingest(Value):
    """What an ingest run did. ``commit``: the git commit it made, if any; ``left``: batches of the source to come."""

    project: str
    batches: tuple[Ingested, ...]
    version: str
    commit: str
    left: int

    def __str__(self) -> str:
        if not self.version:
            return f"{self.project}: every batch is in the dataset already."
        lines = [str(batch) for batch in self.batches]
        lines.append(f"{self.project}: dataset version {self.version[:8]}; {self.left} more in the source")
        return "\n".join(lines)


@flow
def ingest(config: str, until: str = "", commit: bool = False) -> Ingest:
    """Ingest the next batch of a project, or every missing batch up to ``until``.

    ``config``: a project's name or its YAML's path. Each batch is validated; the version changes once, after the
    last. A batch that is refused ends the run, and those before it are kept. Raises what the tasks raise.
    """
    project = load_project(config)
    scope.set(project.name)
    schema = schema_text(project)
    done: list[Ingested] = []
    version = made = ""
    with ingesting(project):
        missing = missing_batches(project, until)
        wanted = missing if until else missing[:1]
        try:
            for name in wanted:
                done.append(ingest_batch(project, schema, name))  # noqa: PERF401  # those before a refused one count
        finally:
            if done or unpushed(project):
                version = track_dataset(project).version
        if done and version:
            events.tell("data.ingested", project.name, version=version)
        if commit and version:
            made = commit_dataset(project, f"data: {project.name} {', '.join(batch.batch for batch in done)}")
    return Ingest(
        project=project.name,
        batches=tuple(done),
        version=version,
        commit=made,
        left=len(missing_batches(project)) if done else 0,
    )
