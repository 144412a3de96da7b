"""What a search for parameters tries, gives up and chooses. Pure: the search itself is `tasks/training/tuning.py`."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal

from penstock.refs import FileRef, Value
from penstock.task_type import LOSSES, LOWER_IS_BETTER
from penstock.train_config import TrainConfig
from penstock.tune_config import Parameter, TuneConfig

Params = dict[str, Parameter]
RUNGS = (8, 4, 2)  # a trial is looked at after rounds/8, rounds/4, rounds/2 and at its end, in each fold
WARM_UP = 5  # as many finished trials, at least, before one is given up


class Trial(Value):
    """One set of parameters and what became of it.

    ``value``: the mean over folds of what is made best; None unless finished. ``losses``: the best validation loss so
    far at each step that was reached, see `steps`. ``rounds``: of the best iteration of each fold that ended.
    ``reason``: why it was given up or failed.
    """

    number: int
    params: Params
    state: Literal["finished", "pruned", "failed"]
    value: float | None = None
    losses: tuple[float, ...] = ()
    rounds: tuple[int, ...] = ()
    reason: str = ""


class Tuned(Value):
    """The parameters that a search chose. ``train``: the section `train` with them in it.

    ``value``: of the best trial by ``metric``. ``trials``: all of them (JSON). ``out_of_time``: whether the time
    budget ended the search. ``reproducible``: False where there was a time budget, as what fits into it is chance.
    """

    train: TrainConfig
    params: Params
    metric: str
    lower_is_better: bool
    value: float
    best: int
    tried: int
    pruned: int
    failed: int
    folds: int
    trials: FileRef
    out_of_time: bool
    reproducible: bool

    def __str__(self) -> str:
        chosen = ", ".join(f"{name} {short(value)}" for name, value in self.params.items())
        counts = f"{self.tried} trials, {self.pruned} pruned" + (f", {self.failed} failed" if self.failed else "")
        name = LOSSES.get(self.metric, self.metric)
        late = "; out of time" if self.out_of_time else ""
        return f"{counts}, {name} {self.value:.4f}: {chosen}{late}"


def short(value: Parameter) -> str:
    """A parameter's value for people; its whole value is in the record."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def measured_by(tune: TuneConfig, train: TrainConfig) -> tuple[str, bool]:
    """(the name of what is made best, whether lower is better)."""
    return (tune.metric, tune.metric in LOWER_IS_BETTER) if tune.metric else (train.loss[1], True)


def rungs(rounds: int) -> tuple[int, ...]:
    """After how many rounds of a fold a trial is looked at, ascending; the last is ``rounds``."""
    return tuple(sorted({max(1, rounds // part) for part in RUNGS} | {rounds}))


def losses_at(curve: Sequence[float], rounds: int) -> list[float]:
    """The best of ``curve`` (a loss after each round) so far at each rung; one that ended before a rung stays there."""
    return [min(curve[:rung]) for rung in rungs(rounds)]


def is_hopeless(loss: float, step: int, earlier: Sequence[Trial]) -> bool:
    """Whether a trial is given up at a step: it is not in the better half of the trials that came so far.

    The rule of asynchronous successive halving with a reduction factor of 2 (Li et al., "A System for Massively
    Parallel Hyperparameter Tuning", 2020, algorithm 2). Those given up at the step count too: among the finished
    alone, each of which was better than half of those before, the bar would rise until nothing passes. ``earlier``:
    the trials of all earlier batches, never of the same one: what runs beside a trial must not change what becomes
    of it.
    """
    reached = [trial for trial in earlier if len(trial.losses) > step]
    finished = sum(trial.state == "finished" for trial in reached)
    return finished >= WARM_UP and loss > median(trial.losses[step] for trial in reached)


def best_of(trials: Sequence[Trial], lower_is_better: bool) -> Trial | None:
    """The finished trial with the best value, the first one of equals; None if none finished."""
    sign = 1 if lower_is_better else -1
    finished = [trial for trial in trials if trial.value is not None]
    return min(finished, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)


def at_once(tune: TuneConfig, cores: int, trial_mb: float, budget_mb: float) -> int:
    """How many trials of a batch are trained side by side, so that cores and memory suffice; at least one."""
    return max(1, min(tune.batch, cores, int(budget_mb // trial_mb) if trial_mb else cores))
