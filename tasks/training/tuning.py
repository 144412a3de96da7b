"""Searches for the parameters that the model is trained with: Optuna chooses, XGBoost answers, batch by batch.

Reads the training and validation rows; keeps every trial that ended in the cache's folder until the search has ended.
Optuna is asked for a batch and told of it whole, in order: what it chooses depends on nothing else. So a search
that was killed is walked again with the trials it had, and goes on as if nothing had happened.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from penstock.config import EvaluateConfig, FeaturesConfig, SplitConfig
from penstock.errors import TrainingError
from penstock.model import BYTES_A_CELL, needs_external_memory
from penstock.refs import Dataset, Splits
from penstock.task_type import LOSSES
from penstock.train_config import TrainConfig
from penstock.tune_config import TuneConfig
from penstock.tuning import Params, Trial, Tuned, at_once, best_of, measured_by
from tasks.machine.settings import settings
from tasks.machine.steps import StepEvent, emit
from tasks.store import store
from tasks.store.caching import task
from tasks.training.fitting import class_weights
from tasks.training.tuning_folds import rows_of_folds
from tasks.training.tuning_search import Search
from tasks.training.tuning_trials import Journal, Trainer

ENOUGH = 4  # failed trials, with none that did not, that end a search


@task(libraries=("optuna", "xgboost", "numpy", "polars", "scikit-learn"))
def tune_model(
    dataset: Dataset,
    splits: Splits,
    features: FeaturesConfig,
    split: SplitConfig,
    train: TrainConfig,
    tune: TuneConfig,
    evaluate: EvaluateConfig,
) -> Tuned:
    """The best parameters of ``tune.space``. Equal inputs give equal trials, unless there is a time budget.

    Raises TrainingError when no trial gave a usable model.
    """
    inputs = {
        "dataset": dataset, "splits": splits, "features": features, "split": split, "train": train, "tune": tune,
        "evaluate": evaluate,
    }  # fmt: skip
    journal = Journal(settings().cache / "tuning" / tune_model.key(inputs)[0])
    rows = splits.rows[0] + splits.rows[1]
    megabytes = rows * len(features.names) * BYTES_A_CELL / 1e6
    parallel = at_once(tune, settings().cpus, megabytes, train.memory_budget_mb)
    trainer = Trainer(
        folds=rows_of_folds(dataset, splits, features, split, train.task, tune.folds),
        train=train,
        classes=splits.classes,
        weights=class_weights(splits, train),
        metric=tune.metric or "",
        evaluate=evaluate,
        threads=max(1, settings().cpus // parallel),
        external=needs_external_memory(rows, len(features.names), train),
        stop=threading.Event(),
    )
    metric, lower = measured_by(tune, train)
    trials, late = _searched(trainer, tune, lower, journal, parallel, _progress(tune, metric, lower))
    best = best_of(trials, lower)
    if best is None or best.value is None:
        raise _no_model(trials)
    states = [trial.state for trial in trials]
    found = Tuned(
        train=train.model_copy(update={"params": {**train.params, **best.params}}),
        params=best.params,
        metric=metric,
        lower_is_better=lower,
        value=best.value,
        best=best.number,
        tried=len(trials),
        pruned=states.count("pruned"),
        failed=states.count("failed"),
        folds=tune.folds,
        trials=store.put_json([trial.model_dump(mode="json") for trial in trials], "trials.json"),
        out_of_time=late,
        reproducible=tune.time_budget_minutes is None,
    )
    journal.forget()
    return found


def _searched(
    trainer: Trainer,
    tune: TuneConfig,
    lower: bool,
    journal: Journal,
    parallel: int,
    ended: Callable[[list[Trial]], None],
) -> tuple[list[Trial], bool]:
    """(the trials by number, whether time ran out before all were made)."""
    search = Search(tune, lower)
    budget = float("inf") if tune.time_budget_minutes is None else tune.time_budget_minutes * 60
    trials: list[Trial] = []
    spent = 0.0  # seconds, those of the runs that were killed among them
    while len(trials) < tune.trials:
        if trials and spent >= budget:
            return trials, True
        asked = search.ask(min(tune.batch, tune.trials - len(trials)))
        batch, spent = _batch(trainer, asked, trials, journal, parallel, spent, ended)
        search.tell(batch)
        trials += batch
        if len(trials) >= ENOUGH and all(trial.state == "failed" for trial in trials):
            raise _no_model(trials)
    return trials, False


def _batch(
    trainer: Trainer,
    asked: Sequence[Params],
    earlier: list[Trial],
    journal: Journal,
    parallel: int,
    spent: float,
    ended: Callable[[list[Trial]], None],
) -> tuple[list[Trial], float]:
    """(the batch's trials by number, seconds since the search began): remembered, or trained ``parallel`` at a time."""
    done: dict[int, Trial] = {}
    for number, params in enumerate(asked, len(earlier)):
        known = journal.recall(number, params)
        if known:
            done[number], spent = known[0], max(spent, known[1])
    began = time.monotonic() - spent
    pool = ThreadPoolExecutor(parallel, thread_name_prefix="tune")
    try:
        waiting = [
            pool.submit(trainer.run, number, params, tuple(earlier))
            for number, params in enumerate(asked, len(earlier))
            if number not in done
        ]
        for future in as_completed(waiting):
            trial = future.result()
            spent = time.monotonic() - began
            journal.keep(trial, spent)
            done[trial.number] = trial
            ended([*earlier, *done.values()])
    except BaseException:
        trainer.stop.set()  # nobody waits for hours after Ctrl-C
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return [done[number] for number in sorted(done)], spent


def _no_model(trials: Sequence[Trial]) -> TrainingError:
    return TrainingError(
        f"None of {len(trials)} trials gave a usable model.",
        where="tune.space",
        found=trials[0].reason,
        next_step="correct the parameter that it names, or narrow the space",
    )


def _progress(tune: TuneConfig, metric: str, lower: bool) -> Callable[[list[Trial]], None]:
    """Tells the terminal, and Prefect's progress artifact, of every trial that ended."""
    from tasks.store.artifacts import Progress

    artifact, began, name = Progress("tuning"), time.monotonic(), LOSSES.get(metric, metric)

    def tell(trials: list[Trial]) -> None:
        best, share = best_of(trials, lower), len(trials) / tune.trials
        so_far = f", best {name} {best.value:.5f}" if best and best.value is not None else ""
        text = f"trial {len(trials)} of {'at most ' if tune.time_budget_minutes else ''}{tune.trials}{so_far}"
        emit(
            StepEvent(name="tune model", state="progress", seconds=time.monotonic() - began, summary=text, share=share)
        )
        artifact.update(100 * share)

    return tell
