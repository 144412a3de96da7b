"""One pass over rows that are scored: read, checked, predicted, profiled, logged and written to drafts.

Reading, profiling and each file that is written have a thread of their own. Only a batch or two wait for each, so
memory does not grow with the rows. A cluster's workers check, predict and profile pieces
(`tasks/scoring/batch_pieces.py`); the files are written here, of the same batches.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.collected import BATCH, Counts, Segment
from penstock.config import Project
from penstock.errors import DataError
from penstock.refs import FileRef
from penstock.refused_rows import RefusedRows
from penstock.scored import INVALID, Intent, LoggedBatch, Request, Scored, quarantine_of
from tasks.cluster.pieces import far
from tasks.machine.steps import StepEvent, emit
from tasks.scoring.batch_input import Rows, ahead
from tasks.scoring.batch_log import ServedRows
from tasks.scoring.batch_output import ParquetTable, Worker, table
from tasks.scoring.batch_pieces import answered_by_workers, discard, read_answers
from tasks.scoring.batch_profile import BatchProfile
from tasks.scoring.batch_rows import Answered, Scorer
from tasks.store import store

if TYPE_CHECKING:
    import polars as pl

TOLD = 0.5  # seconds between two words about how far it is


class Drafts:
    """The files beside an output while they have no name."""

    def __init__(self, output: Path, project: str) -> None:
        self.run = uuid.uuid4().hex
        self._folder = output.parent
        names = [output.name, Path(quarantine_of(str(output))).name]
        self.output, self.refused = (self._folder / f".tmp-{project}-{self.run}-{name}" for name in names)
        self._any = re.compile(rf"\.tmp-{re.escape(project)}-[0-9a-f]{{32}}-({'|'.join(map(re.escape, names))})")

    def clear(self) -> None:
        """Remove them, and those of earlier runs that were killed. Who calls this is the only one who writes."""
        with store.readable_errors(self._folder):
            for path in self._folder.iterdir():
                if self._any.fullmatch(path.name):
                    path.unlink(missing_ok=True)


class Run:
    """What is to be scored, by what, and where it goes."""

    def __init__(self, project: Project, request: Request, scorer: Scorer, rows: Rows, drafts: Drafts) -> None:
        self.project, self.request, self.scorer, self.rows, self.drafts = project, request, scorer, rows, drafts
        log = project.serve.log
        self.logged = request.log and log.enabled
        profiled = [name for name in scorer.features.watched if name not in (*log.drop, *log.hash)]
        self.profile = BatchProfile(profiled, rows.pieces)
        none = (request.on_invalid or project.data.on_invalid) == "fail"
        self.refusals = RefusedRows(request.source, project.data.max_invalid_fraction, none)

    def intent(self) -> Intent:
        """Do the work. What is returned names files that are all on disk, and not where they are to be yet.

        Raises DataError for rows that cannot be scored, or too many invalid ones.
        """
        since, served = time.time_ns(), None
        if self.logged:
            with store.new_file("served.parquet") as draft:
                rows = self._pass(draft.path)
            served = draft.ref
        else:
            rows = self._pass(None)
        profile = store.put_bytes(self.profile.content(), "scored.bin")
        return self._intent(rows, served, profile, since, time.time_ns())

    def _intent(self, rows: int, served: FileRef | None, profile: FileRef, since: int, until: int) -> Intent:
        version, refused, run = self.scorer.basis.version, self.refusals.rows, self.drafts.run
        scored = Scored(
            project=self.project.name,
            run=run,
            version=version,
            source=self.request.source,
            output=self.request.output,
            rows=rows,
            refused=refused,
            quarantine=quarantine_of(self.request.output) if refused else "",
            unknown=dict(self.scorer.unknown),
            logged=self.logged,
            profile=profile,
        )
        batch = None
        if served is not None:
            counts = Counts(requests=rows + refused, rows=rows, refused={INVALID: refused} if refused else {})
            batch = LoggedBatch(model=version, since=since, until=until, rows=served, profile=profile, counts=counts)
        return Intent(
            scored=scored,
            draft=str(self.drafts.output),
            quarantine_draft=str(self.drafts.refused),
            force=self.request.force,
            segment=Segment(model=version, name=f"{until}-{run}{BATCH}") if batch else None,
            batch=batch,
        )

    def _pass(self, log: Path | None) -> int:
        """Score all rows; returns how many were valid."""
        output, refused = table(self.drafts.output), ParquetTable(self.drafts.refused)
        served = ParquetTable(log) if log else None
        kept = ServedRows(self.project, self.scorer.basis.version, self.drafts.run, self.scorer.predictor)
        total, done, valid = self.rows.count(), 0, 0
        progress = _Progress()
        with store.readable_errors(self.drafts.output), contextlib.ExitStack() as stack:
            profiling = stack.enter_context(Worker(self.profile.add))
            writing = stack.enter_context(Worker(output.add))
            logging = stack.enter_context(Worker(served.add)) if served else None
            for found in stack.enter_context(contextlib.closing(self._answers(profiling))):
                done += found.read
                valid += found.rows.height
                if found.refused is not None:
                    refused.add(found.refused)
                    self.refusals.add(found.refused)
                    self.refusals.require_few(total or sys.maxsize)  # of a CSV nobody knows yet how long it is
                writing.add(self._written(found))
                if logging:
                    logging.add(kept.frame(found))
                progress.tell(done, total)
            workers: tuple[Worker[Any] | None, ...] = (profiling, writing, logging)
            for worker in filter(None, workers):
                worker.finish()
            if not done:
                raise DataError("There are no rows to score.", where=self.request.source)
            self.refusals.require_few(done)
            output.close()
            refused.close()
            if served:
                served.close()
        return valid

    def _answers(self, profiling: Worker[Answered]) -> Generator[Answered, None, None]:
        """Every batch of the rows, in order; each is profiled, too."""
        columns, start = self._columns(), 0
        if far(self.rows.pieces):
            yield from self._answers_of_workers(columns)
            return
        with contextlib.closing(ahead(self.rows.read(columns))) as frames:
            for frame in frames:
                found = self.scorer.answer(frame, start)
                start += found.read
                profiling.add(found)
                yield found

    def _answers_of_workers(self, columns: list[str]) -> Generator[Answered, None, None]:
        run = self.drafts.run
        parts = answered_by_workers(self.rows.pieces, columns, self.profile.columns, self.scorer.basis, run)
        try:
            for part in parts:
                self.scorer.unknown.update(part.unknown)
                self.profile.add_piece(store.read_bytes(part.profile))
            answers = (found for part in parts for found in read_answers(part, run))
            with contextlib.closing(ahead(answers)) as found_ahead:
                yield from found_ahead
        finally:
            discard(parts)

    def _columns(self) -> list[str]:
        """What is read of every file. Raises DataError if one has not the columns, or others than the first."""
        first: dict[str, Any] = {}
        for file in self.rows.files:
            found = self.rows.types(file)
            names = self.scorer.require(found, str(file), text=self.rows.text)
            read = {name: found[name] if name not in self.scorer.kinds else None for name in names}
            if first and read != first:
                other = sorted({name for name, _ in first.items() ^ read.items()})
                raise DataError("The files do not have the same columns.", where=str(file), found=", ".join(other))
            first = read
        return list(first)

    def _written(self, found: Answered) -> pl.DataFrame:
        """The output's rows: which they are, the columns asked for, and the answers."""
        import polars as pl

        keys = list(dict.fromkeys([*self.project.labels.key_columns, *self.request.columns]))
        return found.rows.select(
            pl.lit(self.drafts.run).alias("request_id"),
            found.place.alias("row"),
            *(pl.col(name) for name in keys if name in found.rows.columns),
            pl.lit(self.scorer.basis.version).alias("model"),
            *(pl.Series(name, values) for name, values in self.scorer.predictor.shown(found.scores).items()),
        )


class _Progress:
    """Tells the terminal now and then how far it is."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()

    def tell(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._told < TOLD:
            return
        self._told = now
        text = f"{done:,} of {total:,} rows" if total else f"{done:,} rows"
        share = done / total if total else 0.0
        emit(StepEvent(name="score rows", state="progress", seconds=now - self._began, summary=text, share=share))
