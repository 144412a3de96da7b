"""What may be searched, when a trial is given up, and which is the best."""

from __future__ import annotations

import numpy as np
import pytest

from penstock import folds
from penstock.config import parse
from penstock.errors import ConfigError, DataError
from penstock.tune_config import TuneConfig
from penstock.tuning import Trial, at_once, best_of, is_hopeless, losses_at, rungs

PROJECT = """\
name: flights
data: {source: examples.flights:source, path: data/flights}
schema: schemas/flights.yaml
features: {label: late, time: at, numeric: [distance]}
gate: {metrics: {auc: {min: 0.6}}}
package: {purpose: Say which flights will be late.}
train:
  params: {max_depth: 8}
tune:
"""


def refused(tune: str, old: str = "", new: str = "") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(PROJECT.replace(old, new) + f"  {tune}\n", "configs/flights.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ("trials: 3", "`tune.space` is missing"),
        ("space: {}", "`tune.space` is not right"),
        ("space: {eta: {low: 0.3, high: 0.1}}", "`low` 0.3 must be below `high` 0.1"),
        ("space: {eta: {low: 0.1, high: 0.1}}", "must be below"),
        ("space: {eta: {low: 0.1}}", "give `low` and `high`, or `choices`"),
        ("space: {eta: {low: 0, high: 1, log: true}}", "`log` needs `low` above 0"),
        ("space: {eta: {low: 0.1, high: 1, log: true, step: 0.1}}", "exclude one another"),
        ("space: {eta: {low: 0.1, high: 1, step: 2}}", "wider than the range"),
        ("space: {eta: {low: 0.1, high: .inf}}", "must be finite"),
        ("space: {eta: {choices: []}}", "`choices` is empty"),
        ("space: {eta: {choices: [0.1, 0.1]}}", "twice"),
        ("space: {eta: {choices: [[1]]}}", "each choice must be"),
        ("space: {eta: {choices: [0.1], low: 0.1}}", "not both"),
        ("space: {eta: {lo: 0.1, high: 1}}", "`tune.space.eta.lo` is not a key"),
        ("space: {max_leaves: {low: 2.5, high: 9}}", "`max_leaves.low` must be a whole number"),
        ("space: {max_depth: {low: 2, high: 9}}", "`train.params.max_depth` fixes it"),
        ("space: {nthread: {low: 2, high: 9}}", "set by Penstock, not here: nthread"),
        ("space: {eta: {low: 0.1, high: 1}, learning_rate: {low: 0.1, high: 1}}", "`eta` under another name"),
        ("space: {huber_slope: {low: 1, high: 2}}", "it changes the loss itself"),
        ("space: {eta: {low: 0.1, high: 1}}\n  metric: rmse", "`rmse` is a metric of regression"),
        ("space: {eta: {low: 0.1, high: 1}}\n  folds: 6", "`tune.folds` is not right"),
        ("space: {eta: {low: 0.1, high: 1}}\n  trials: 0", "`tune.trials` is not right"),
        ("space: {eta: {low: 0.1, high: 1}}\n  time_budget_minutes: 0", "`tune.time_budget_minutes` is not right"),
    ],
)
def test_a_wrong_section_says_what_is_wrong(tune: str, said: str) -> None:
    assert said in refused(tune).what


def test_a_parameter_is_held_to_the_objective_as_in_train() -> None:
    regression = ("  params: {max_depth: 8}", "  task: regression\n  params: {max_depth: 8}")
    weighing = ("auc: {min: 0.6}", "rmse: {max: 9}")
    text = PROJECT.replace(*regression).replace(*weighing) + "  space: {scale_pos_weight: {low: 1, high: 2}}\n"
    with pytest.raises(ConfigError) as caught:
        parse(text, "configs/flights.yaml")
    assert "`params.scale_pos_weight` is a parameter of binary:logistic" in caught.value.what


def trial(number: int, *losses: float, value: float | None = None, state: str = "finished") -> Trial:
    return Trial.model_validate({"number": number, "params": {}, "state": state, "losses": losses, "value": value})


def test_a_trial_is_given_up_above_the_median_of_enough_finished_trials() -> None:
    earlier = [trial(number, loss, 0.1) for number, loss in enumerate((0.1, 0.2, 0.3, 0.4, 0.5))]
    assert not is_hopeless(0.3, 0, earlier)
    assert is_hopeless(0.31, 0, earlier)
    assert is_hopeless(0.31, 1, earlier)
    assert not is_hopeless(9, 2, earlier)  # nobody came so far
    assert not is_hopeless(9, 0, earlier[:4])
    pruned = [trial(9, 0.0, state="pruned")] * 9
    assert not is_hopeless(9, 0, [*earlier[:4], *pruned])
    given_up = [trial(9, 0.9, state="pruned")] * 5
    assert not is_hopeless(0.6, 0, [*earlier, *given_up])  # those given up lower the bar again
    assert is_hopeless(0.8, 0, [*earlier, *given_up])


def test_the_best_is_the_first_of_equals_and_never_one_that_did_not_finish() -> None:
    made = [trial(0, state="failed"), trial(1, value=0.4), trial(2, value=0.3), trial(3, value=0.3)]
    assert best_of(made, lower_is_better=True).number == 2  # type: ignore[union-attr]
    assert best_of(made, lower_is_better=False).number == 1  # type: ignore[union-attr]
    assert best_of(made[:1], lower_is_better=True) is None


def test_losses_are_the_best_so_far_and_stay_where_a_fold_ended_early() -> None:
    assert rungs(80) == (10, 20, 40, 80)
    assert rungs(1) == (1,)
    assert losses_at([0.5] * 9 + [0.4, 0.6, 0.3], 80) == [0.4, 0.3, 0.3, 0.3]


def test_as_many_trials_at_once_as_batch_cores_and_memory_allow() -> None:
    tune = TuneConfig.model_validate({"space": {"eta": {"low": 0.1, "high": 1}}, "batch": 4})
    assert at_once(tune, 8, 100, 1000) == 4
    assert at_once(tune, 3, 100, 1000) == 3
    assert at_once(tune, 8, 400, 1000) == 2
    assert at_once(tune, 8, 4000, 1000) == 1


def test_folds_by_time_train_on_what_was_before_and_keep_moments_together() -> None:
    hour = 3_600_000_000
    time = np.random.default_rng(1).integers(0, 60, 500) * hour
    found = folds.by_time(time, 4, gap_hours=2)
    for train, measure in found:
        assert time[train].max() < time[measure].min() - 2 * hour
        assert not set(time[measure]) & set(time[train])
    sizes = [int(train.sum()) for train, _ in found]
    assert sizes == sorted(sizes) and len(set(sizes)) == 4
    measured = np.sum([measure for _, measure in found], axis=0)
    assert measured.max() == 1 and found[-1][1][time == time.max()].all()
    with pytest.raises(DataError, match=r"Fold 1 of 4 has no rows to train on"):
        folds.by_time(time, 4, gap_hours=1000)


def test_every_row_measures_once_in_the_other_folds() -> None:
    label = np.array([True] * 30 + [False] * 270)
    group = np.repeat(np.arange(60), 5)
    for found in (folds.at_random(300, 3, 7), folds.stratified(label, 3, 7), folds.by_group(group, 3, 7)):
        assert (np.sum([measure for _, measure in found], axis=0) == 1).all()
        assert all((train != measure).all() for train, measure in found)
    assert [int(label[measure].sum()) for _, measure in folds.stratified(label, 3, 7)] == [10, 10, 10]
    for train, measure in folds.by_group(group, 3, 7):
        assert not set(group[train]) & set(group[measure])
    with pytest.raises(DataError, match="no rows"):
        folds.by_group(np.zeros(10), 2, 7)
