"""What a simulation plants changes what labels depend on, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from penstock.config import FeaturesConfig
from penstock.errors import ConfigError
from penstock.simulation import Play, mirror_labels, sample, strongest

FEATURES = FeaturesConfig(label="late", time="at", numeric=("noise", "hour", "gaps"))


def rows(n: int = 2000) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    hour = rng.uniform(0, 24, n)
    return pl.DataFrame(
        {
            "at": [datetime(2013, 1, 1) + timedelta(minutes=20 * k) for k in range(n)],
            "hour": hour,
            "noise": rng.uniform(size=n),
            "gaps": [None if k % 3 == 0 else hour[k] for k in range(n)],
            "late": rng.uniform(size=n) < hour / 24,
        }
    )


def test_labels_follow_the_feature_the_other_way_round_and_nothing_else_changes():
    before = rows()
    after = mirror_labels(before, "late", "at", "hour")
    assert after.drop("late").equals(before.drop("late"))
    day = pl.col("at").dt.truncate("1d")
    assert after.group_by(day).agg(pl.col("late").sum()).sort("at").equals(
        before.group_by(day).agg(pl.col("late").sum()).sort("at")
    )  # fmt: skip
    told = [frame.select(pl.corr("hour", pl.col("late").cast(pl.Float64))).item() for frame in (before, after)]
    assert told[0] > 0.4 and told[1] < -0.4
    assert mirror_labels(after, "late", "at", "hour").equals(before)


def test_the_feature_is_the_one_that_says_most_and_has_no_gaps():
    assert strongest(rows(), FEATURES, "at") == "hour"
    with pytest.raises(ConfigError, match="no feature by which a shift could be planted"):
        strongest(rows().with_columns(hour=pl.col("gaps"), noise=pl.lit(1.0)), FEATURES, "at")


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.33])
def test_a_share_is_taken_evenly(share):
    found = sample(rows(), share)
    assert abs(found.height - share * 2000) <= 1
    halves = found.filter(pl.col("at") < rows()["at"][1000]).height
    assert abs(halves - found.height / 2) <= 1


def test_what_is_planted_begins_after_what_the_first_model_knows():
    play = Play(source="a:b", history=("1", "2", "3"), live=("4",), time="at", label="late")
    assert (play.planted, play.trained_until) == ((), "3")
    play = play.model_copy(update={"since": "2", "mirrored": "hour"})
    assert (play.planted, play.trained_until) == (("2", "3", "4"), "1")
