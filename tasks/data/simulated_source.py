"""The data source of a simulation's sandbox: the project's own, whose later rows come bit by bit.

Reads `simulation.json` of the sandbox's checkout (`penstock.simulation.Play`). Batches of the history are the source's
own. What is live is cut anew, wherever somebody asked for the rows that were labelled by then.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.batch import Batch, Source
from penstock.simulation import Play, mirror_labels, moment, sample
from tasks.data.sources import load_function
from tasks.machine.settings import settings
from tasks.store import store

if TYPE_CHECKING:
    import polars as pl

NAME, FILE = "tasks.data.simulated_source:source", "simulation.json"


class SimulatedSource:
    """History whole, then one batch a cut."""

    def __init__(self, play: Play) -> None:
        self.play = play

    def names(self) -> list[str]:
        return [*self.play.history, *(f"{self.play.live[0]}.{number}" for number in range(1, len(self.play.cuts)))]

    def read(self, name: str) -> Batch:
        import polars as pl

        play = self.play
        if name in play.history:
            return Batch(planted(play, name))
        number = int(name.rpartition(".")[2])
        start, end = moment(play.cuts[number - 1]), moment(play.cuts[number])
        return Batch(live_rows(play).filter(pl.col(play.time).is_between(start, end, closed="left")))


def source() -> SimulatedSource:
    return SimulatedSource(read_play())


def read_play() -> Play:
    return Play.model_validate_json(_file().read_bytes())


def write_play(play: Play) -> None:
    store.write_atomic(_file(), play.model_dump_json(indent=1).encode())


def planted(play: Play, name: str) -> pl.DataFrame:
    """A batch of the project's source, with the labels that the play gives it."""
    rows = _original(play.source).read(name).rows
    return mirror_labels(rows, play.label, play.time, play.mirrored) if name in play.planted else rows


def live_rows(play: Play) -> pl.DataFrame:
    """Every row that comes while the play goes on, in order of time."""
    return _live(play.model_copy(update={"cuts": ()}).model_dump_json())


@functools.cache
def _live(text: str) -> pl.DataFrame:
    import polars as pl

    play = Play.model_validate_json(text)
    rows = pl.concat([planted(play, name) for name in play.live])
    return sample(rows.sort(play.time, maintain_order=True), play.share)


@functools.cache
def _original(name: str) -> Source:
    return load_function(name, FILE)


def _file() -> Path:
    return settings().root / FILE
