"""What to try next: Optuna's TPE sampler, asked for a batch and told of it whole. It is imported by a search only.

Nothing of it is stored: a study that is asked and told the same again chooses the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.tune_config import WHOLE, Dimension, TuneConfig
from penstock.tuning import Params, Trial

if TYPE_CHECKING:
    from optuna.trial import Trial as Asked


class Search:
    """One study. ``lower``: whether a lower value is better."""

    def __init__(self, tune: TuneConfig, lower: bool) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # constant_liar would have a batch's trials see one another; without it they differ by what is drawn
        sampler = optuna.samplers.TPESampler(seed=tune.seed, multivariate=True, constant_liar=False)
        self._study = optuna.create_study(direction="minimize" if lower else "maximize", sampler=sampler)
        # by name: what is drawn depends on the order, and a config read back from a record has another one
        self._space = {name: _distribution(name, each) for name, each in sorted(tune.space.items())}
        self._lower = lower
        self._asked: list[Asked] = []

    def ask(self, count: int) -> list[Params]:
        """``count`` sets of parameters, by what was told so far."""
        self._asked = [self._study.ask(self._space) for _ in range(count)]
        return [asked.params for asked in self._asked]

    def tell(self, batch: Sequence[Trial]) -> None:
        """What became of the trials that were asked for, in that order.

        A pruned one is ranked below those that finished, by how far it came.
        """
        from optuna.trial import TrialState

        for asked, trial in zip(self._asked, batch, strict=True):
            if trial.state == "finished":
                self._study.tell(asked, trial.value)
            elif trial.state == "failed":
                self._study.tell(asked, state=TrialState.FAIL)
            else:
                loss = trial.losses[-1]
                asked.report(loss if self._lower else -loss, len(trial.losses))
                self._study.tell(asked, state=TrialState.PRUNED)


def _distribution(name: str, dimension: Dimension) -> Any:
    from optuna import distributions

    if dimension.choices is not None:
        return distributions.CategoricalDistribution(dimension.choices)
    low, high, step = dimension.low, dimension.high, dimension.step
    assert low is not None and high is not None
    if name in WHOLE:
        return distributions.IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
    return distributions.FloatDistribution(low, high, log=dimension.log, step=step)
