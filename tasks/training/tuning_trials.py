"""Trains one trial of a search, and remembers those that ended, so that a search that was killed goes on from them."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.config import EvaluateConfig
from penstock.errors import TrainingError
from penstock.model import Batches, Fit, fit, load
from penstock.train_config import TrainConfig
from penstock.tuning import Params, Trial, is_hopeless, losses_at, rungs
from tasks.machine import memory
from tasks.store import store
from tasks.training.fitting import scratch
from tasks.training.tuning_folds import FoldRows


class _GivenUpError(Exception):
    """The trial is hopeless. The message says when."""


class StoppedError(Exception):
    """The search ends: whatever else is being trained is of no use."""


@dataclass(frozen=True)
class Trainer:
    """What all trials of a search have in common. ``metric``: "" for the loss that early stopping watches."""

    folds: Sequence[FoldRows]
    train: TrainConfig
    classes: tuple[str, ...]
    weights: list[float]
    metric: str
    evaluate: EvaluateConfig
    threads: int
    external: bool
    stop: threading.Event

    def run(self, number: int, params: Params, earlier: Sequence[Trial]) -> Trial:
        """The trial, trained on each fold in turn. Depends on nothing but the arguments, whatever runs beside it."""
        config = self.train.model_copy(
            update={"params": {**self.train.params, **params}, "on_no_convergence": "warn"}
        )  # fmt: skip
        losses: list[float] = []
        rounds: list[int] = []
        values: list[float] = []
        fold = 0
        try:
            for fold, rows in enumerate(self.folds):
                fitted = self._fit(rows, config, losses, earlier)
                losses += losses_at(fitted.validation_loss, config.rounds)
                rounds.append(fitted.best_iteration + 1)
                values.append(self._value(fitted, rows.measuring, config))
                if fold + 1 < len(self.folds) and is_hopeless(losses[-1], len(losses) - 1, earlier):
                    raise _GivenUpError("the last round")
        except _GivenUpError as given_up:
            where = f" of fold {fold + 1}" if len(self.folds) > 1 else ""
            reason = f"above the median of earlier trials after {given_up}{where}"
            return Trial(
                number=number, params=params, state="pruned", losses=tuple(losses), rounds=tuple(rounds), reason=reason
            )
        except TrainingError as error:
            reason = f"{error.what} {error.found}".strip()
            return Trial(number=number, params=params, state="failed", reason=reason)
        value = sum(values) / len(values)
        return Trial(
            number=number, params=params, state="finished", value=value, losses=tuple(losses), rounds=tuple(rounds)
        )

    def _fit(self, rows: FoldRows, config: TrainConfig, losses: list[float], earlier: Sequence[Trial]) -> Fit:
        """The booster of a fold. Raises _GivenUpError, having added the losses at the rungs that were reached."""
        looks = rungs(config.rounds)[:-1]
        curve: list[float] = []
        seen: list[float] = []

        def watch(iteration: int, loss: float) -> None:
            if self.stop.is_set():
                raise StoppedError
            curve.append(loss)
            if iteration + 1 in looks:
                seen.append(min(curve))
                if is_hopeless(seen[-1], len(losses) + len(seen) - 1, earlier):
                    losses.extend(seen)
                    raise _GivenUpError(f"{iteration + 1} rounds")

        folder = scratch() if self.external else None
        try:
            return fit(
                rows.training,
                rows.measuring,
                config,
                threads=self.threads,
                classes=self.classes,
                weights=self.weights,
                cache_prefix=f"{folder}/matrix" if folder else None,
                binned=memory.give_back,
                progress=watch,
            )
        finally:
            if folder:
                shutil.rmtree(folder, ignore_errors=True)

    def _value(self, fitted: Fit, measuring: Batches, config: TrainConfig) -> float:
        if not self.metric:
            return fitted.validation_loss[fitted.best_iteration]
        import numpy as np

        from penstock.judge import judge_of

        booster = load(fitted.booster, self.threads)
        labels, scores = [], []
        for frame, truth in measuring():
            labels.append(truth.to_numpy())
            scores.append(booster.inplace_predict(frame))
        label, score = np.concatenate(labels), np.concatenate(scores)
        judge = judge_of(config.target, self.classes, self.evaluate, label, score)
        value = judge.measure(label, score)[self.metric]
        if value is None:
            raise TrainingError(f"`{self.metric}` is not defined on the rows of a fold.")
        return float(value)


class Journal:
    """The trials of one search that ended, a JSON file each, under what the search is made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def recall(self, number: int, params: Params) -> tuple[Trial, float] | None:
        """(the trial, seconds from the search's begin to its end) if it ended; None if it did not, or was another."""
        try:
            document: dict[str, Any] = json.loads(self._path(number).read_bytes())
            trial = Trial.model_validate(document["trial"])
            return (trial, float(document["seconds"])) if trial.params == params else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, trial: Trial, seconds: float) -> None:
        with store.readable_errors(self.folder):
            content = json.dumps({"trial": trial.model_dump(mode="json"), "seconds": seconds}).encode()
            store.write_atomic(self._path(trial.number), content)

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.json"
