"""A search for parameters over real files: reproducible, pruned, resumed, whatever runs at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from penstock.errors import TrainingError
from penstock.tune_config import TuneConfig
from penstock.tuning import Trial
from tasks.machine.settings import settings
from tasks.store import store
from tasks.training import tuning, tuning_trials
from tasks.training.tuning import tune_model
from tasks.training.tuning_trials import Trainer
from tests.conftest import REPOSITORY
from tests.tasks.test_training_steps import Data
from tests.waiting import PATIENCE

SPACE = {
    "max_leaves": {"low": 2, "high": 12},
    "min_child_weight": {"low": 0.5, "high": 200, "log": True},
    "grow_policy": {"choices": ["depthwise", "lossguide"]},
}


class Tuning(Data):
    def __init__(self, monkeypatch) -> None:
        super().__init__(monkeypatch)
        monkeypatch.setattr("tasks.training.tuning_folds.dataset_paths", lambda dataset: self.paths)
        self.splits = self.split()

    @property
    def paths(self):
        import tasks.training.splitting

        return tasks.training.splitting.dataset_paths(self.dataset)

    def tune(self, train=None, split=None, **changes):
        project = self.project
        config = TuneConfig.model_validate({"space": SPACE, "trials": 12, "batch": 3, **changes})
        return tune_model(
            self.dataset,
            self.splits,
            project.features,
            project.split.model_copy(update=split or {}),
            project.train.model_copy(update=train or {}),
            config,
            project.evaluate.judging,
        )


@pytest.fixture
def data(checkout, monkeypatch) -> Tuning:
    return Tuning(monkeypatch)


def trials(tuned) -> list[Trial]:
    return [Trial.model_validate(each) for each in store.read_json(tuned.trials)]


def test_equal_inputs_give_equal_trials_whatever_runs_at_once(data, monkeypatch):
    together = data.tune()
    monkeypatch.setattr(tuning, "at_once", lambda *arguments: 1)
    assert data.tune() == together
    assert data.tune(space=dict(reversed(SPACE.items()))) == together  # a record's config is sorted
    made = trials(together)
    assert [trial.number for trial in made] == list(range(12))
    assert len({json.dumps(trial.params, sort_keys=True) for trial in made}) > 6
    assert data.tune(seed=8).trials != together.trials
    assert data.tune(batch=4).trials != together.trials


def test_the_best_trial_is_what_the_model_is_trained_with(data):
    tuned = data.tune()
    finished = [trial for trial in trials(tuned) if trial.state == "finished"]
    best = min(finished, key=lambda trial: trial.value)
    assert (tuned.best, tuned.params, tuned.value) == (best.number, best.params, best.value)
    assert tuned.train.params == {**data.project.train.params, **best.params}
    history = store.read_json(data.train(data.splits, params=tuned.train.params).history)
    assert history["validation"][history["best_iteration"]] == best.value
    assert tuned.reproducible and not tuned.out_of_time and tuned.metric == "logloss"


def test_a_hopeless_trial_is_given_up_before_its_last_round(data):
    eta = {"eta": {"choices": [0.5, 0.3, 0.0001]}}
    tuned = data.tune(train={"params": {"max_depth": 3}}, space=eta, trials=24)
    slow = [trial for trial in trials(tuned) if trial.params["eta"] == 0.0001]
    pruned = [trial for trial in slow if trial.state == "pruned"]
    assert pruned and all(trial.value is None and len(trial.losses) < 4 for trial in pruned)
    assert "above the median of earlier trials after 3 rounds" in pruned[0].reason
    assert tuned.pruned >= len(pruned) and tuned.params["eta"] != 0.0001


@pytest.mark.parametrize("by", ["time", "random", "stratified"])
def test_folds_measure_every_trial_on_all_of_them_and_never_on_test_rows(data, monkeypatch, by):
    seen = []
    real = Trainer.run

    def spy(self, number, params, earlier):
        seen.append([sum(len(label) for _, label in rows.measuring()) for rows in self.folds])
        return real(self, number, params, earlier)

    monkeypatch.setattr(Trainer, "run", spy)
    tuned = data.tune(split={"by": by}, folds=3, trials=3)
    assert tuned.folds == 3 and len(seen[0]) == 3
    assert all(len(trial.rounds) == 3 for trial in trials(tuned) if trial.state == "finished")
    rows = data.splits.rows[0] + data.splits.rows[1]
    assert sum(seen[0]) == rows if by != "time" else sum(seen[0]) < rows


def test_a_metric_of_the_task_is_made_as_large_as_it_can_be(data):
    tuned = data.tune(metric="auc")
    values = [trial.value for trial in trials(tuned) if trial.value is not None]
    assert tuned.metric == "auc" and not tuned.lower_is_better
    assert tuned.value == max(values) and 0.5 < tuned.value <= 1


@pytest.mark.parametrize(("task", "metric", "best"), [("multiclass", "macro_f1", max), ("regression", "mae", min)])
def test_classes_and_numbers_are_searched_for_in_folds_too(checkout, monkeypatch, task, metric, best):
    checkout.task(task)
    tuned = Tuning(monkeypatch).tune(trials=4, folds=2, metric=metric)
    values = [trial.value for trial in trials(tuned) if trial.value is not None]
    assert tuned.failed == 0 and len(set(values)) > 1
    assert tuned.value == best(values) and tuned.train.task == task


def test_data_that_pass_the_memory_budget_stay_in_files_and_give_the_same(data, monkeypatch):
    within = data.tune(trials=4)
    monkeypatch.setattr(tuning, "needs_external_memory", lambda *arguments: True)
    prefixes = []
    real = tuning_trials.fit
    monkeypatch.setattr(
        tuning_trials, "fit", lambda *rows, **more: prefixes.append(more["cache_prefix"]) or real(*rows, **more)
    )
    assert data.tune(trials=4) == within
    assert len(prefixes) == len(set(prefixes)) == 4
    assert not any(settings().store.joinpath("tmp").iterdir())


def test_an_error_stops_what_is_being_trained_beside_it(data, monkeypatch):
    """What is not foreseen in one trial ends the others at their next round, so that nobody waits for them."""
    real, begun, stopped = Trainer.run, threading.Event(), []

    def broken(self, number, params, earlier):
        if number == 0:
            assert begun.wait(PATIENCE)
            raise RuntimeError("not foreseen")
        begun.set()
        assert self.stop.wait(PATIENCE)
        try:
            return real(self, number, params, earlier)
        except tuning_trials.StoppedError:
            stopped.append(number)
            raise

    monkeypatch.setattr(tuning, "at_once", lambda *arguments: 2)
    monkeypatch.setattr(Trainer, "run", broken)
    with pytest.raises(RuntimeError, match="not foreseen"):
        data.tune(trials=2, batch=2)
    assert stopped == [1]


def test_a_time_budget_ends_the_search_and_is_recorded_as_not_reproducible(data):
    tuned = data.tune(time_budget_minutes=1e-6)
    assert tuned.tried == 3  # one batch: the budget is looked at between batches
    assert tuned.out_of_time and not tuned.reproducible
    assert data.tune(time_budget_minutes=60, trials=2).reproducible is False


def test_a_parameter_that_xgboost_does_not_know_ends_the_search_after_few_trials(data):
    with pytest.raises(TrainingError) as caught:
        data.tune(space={"max_leafs": {"low": 2.0, "high": 8.0}}, trials=50)
    assert "None of 6 trials" in caught.value.what
    assert "`max_leafs`" in caught.value.found and caught.value.where == "tune.space"


def test_a_trial_that_fails_is_told_and_does_not_end_the_search(data):
    tuned = data.tune(space={"max_bin": {"choices": [1, 64, 128]}}, trials=9)
    failed = [trial for trial in trials(tuned) if trial.state == "failed"]
    assert tuned.failed == len(failed) > 0 and all(trial.params == {"max_bin": 1} for trial in failed)
    assert failed[0].reason and tuned.params["max_bin"] > 1


KILLED = """
import sys
sys.path.insert(0, {repository!r})
import pytest
from tasks.training import tuning_trials
from tests.tasks.test_tuning import Tuning
real = tuning_trials.Journal.keep
def keep(self, trial, seconds):
    real(self, trial, seconds)
    if trial.number >= 4:  # in the middle of the second batch
        print("kept", trial.number, flush=True)
        import time; time.sleep(600)
tuning_trials.Journal.keep = keep
Tuning(pytest.MonkeyPatch()).tune()
"""


def test_a_search_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(data, checkout, monkeypatch):
    whole = data.tune()
    environment = {**os.environ, **checkout.environment, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED.format(repository=str(REPOSITORY))],
        cwd=checkout.root, env=environment, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline().startswith("kept")
        process.send_signal(signal.SIGKILL)
    kept = sorted(int(path.stem) for path in (settings().cache / "tuning").glob("*/*.json"))
    assert len(kept) >= 4 and kept[:3] == [0, 1, 2] and max(kept) <= 5
    trained = []
    real = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self, number, *rest: trained.append(number) or real(self, number, *rest))
    assert data.tune() == whole
    assert sorted(trained) == [number for number in range(12) if number not in kept]
    assert not list((settings().cache / "tuning").glob("*/*.json"))  # what has ended is in the cache itself
