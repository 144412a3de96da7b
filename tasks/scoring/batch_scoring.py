"""Scores a file with a release: everything is written to drafts first, and then published or gone.

See `tasks/scoring/batch_run.py` for the pass over the rows, and `tasks/monitoring/batch_publishing.py` for how they get
their names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from penstock.config import Project
from penstock.errors import ConfigError, DataError
from penstock.scored import WRITTEN, Request, Scored, release_for
from tasks.machine.settings import settings
from tasks.monitoring.batch_publishing import output_exists, publish, settle
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged
from tasks.scoring.batch_basis import basis
from tasks.scoring.batch_input import Rows, find_rows
from tasks.scoring.batch_output import SUFFIXES
from tasks.scoring.batch_rows import Scorer
from tasks.scoring.batch_run import Drafts, Run
from tasks.store import locks
from tasks.store.caching import task


@task(cached=False)
def score_rows(project: Project, request: Request) -> Scored:
    """Score what ``request`` names; its files are absolute paths.

    A run that was killed while it published the same output is finished instead, and is the answer. Raises
    ConfigError, DataError or StorageError; then nothing is left of it.
    """
    output = Path(request.output)
    _require_writable(output)
    _require_keys(request.columns)
    with _writing(output):
        for earlier in settle(project.name):
            asked = (request.source, request.output, request.version or earlier.version)
            if (earlier.source, earlier.output, earlier.version) == asked and not request.force:
                return earlier
        rows = find_rows(project, request.source)
        _require_free(output, rows, request.force)
        release = packaged(project.name, release_for(read_ledger(project.name), project.name, request))
        drafts = Drafts(output, project.name)
        drafts.clear()
        try:
            scorer = Scorer(basis(release, project, request.columns), settings().cpus)
            intent = Run(project, request, scorer, rows, drafts).intent()
            publish(intent)
        finally:
            drafts.clear()
    return intent.scored


def _require_keys(keys: tuple[str, ...]) -> None:
    taken = sorted(set(keys) & set(WRITTEN))
    if taken:
        raise ConfigError("A key has the name of a column that scoring writes.", where="--keys", found=", ".join(taken))


def _require_writable(output: Path) -> None:
    if not output.name.endswith(SUFFIXES):
        raise ConfigError(
            "The output's name does not say what to write.", found=output.name, allowed="a name in .parquet or .csv"
        )
    if not output.parent.is_dir() or output.is_dir():
        raise ConfigError(
            "The output cannot be there.",
            where=str(output),
            found="a folder" if output.is_dir() else "a folder that does not exist",
            allowed="a file's name in a folder that is there",
        )


def _require_free(output: Path, rows: Rows, force: bool) -> None:
    if output.resolve() in {file.resolve() for file in rows.files}:
        raise DataError("The output is one of the files that are to be scored.", where=str(output))
    if output.exists() and not force:
        raise output_exists(str(output))


@contextlib.contextmanager
def _writing(output: Path) -> Iterator[None]:
    """One process at a time writes an output. Raises DataError if another does."""
    with locks.tried(f"score-{output}") as mine:
        if not mine:
            raise DataError("Another process is writing this output.", where=str(output))
        yield
