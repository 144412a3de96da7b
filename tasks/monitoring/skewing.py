"""Compares a candidate's training rows with what the champion was asked: the newest window of served rows."""

from __future__ import annotations

from itertools import islice

from penstock.candidate import Champion
from penstock.collected import Collected
from penstock.config import FeaturesConfig
from penstock.model import load, recipe
from penstock.monitor_config import MonitorConfig
from penstock.refs import Profiles, Splits
from penstock.release_config import LogConfig
from penstock.skew import Skew
from penstock.window import Reference, Window, judge
from tasks.monitoring.collected_store import newest_windows
from tasks.monitoring.summaries import summaries
from tasks.store import store
from tasks.store.caching import task

MOST = 100  # windows that are looked through


@task(reads=True)
def find_served(project: str, champion: Champion | None) -> Collected | None:
    """The newest window of requests that the champion answered. Raises StorageError if its file is damaged."""
    if champion is None:
        return None
    for window in islice(newest_windows(project), MOST):
        if window.release == champion.version and window.profile is not None and not window.batch:
            return window
    return None


@task(libraries=("whylogs", "numpy", "xgboost"))
def compare_serving(
    profiles: Profiles,
    splits: Splits,
    served: Collected,
    champion: Champion,
    features: FeaturesConfig,
    log: LogConfig,
    monitor: MonitorConfig,
) -> Skew:
    """The monitor's own verdict on the window, beside this candidate's training rows.

    A column that the champion does not ask for is left out: nobody can send it yet. So are times, which move on, and
    those that the prediction log does not keep as they are.
    """
    asked = set(recipe(load(store.read_bytes(champion.model.booster)), features.label)[0].inputs)
    compared = (asked & set(features.watched)) - {*log.drop, *log.hash}
    known = summaries(store.read_bytes(profiles.train), store.read_json(splits.categories))
    beside = {features.label, features.time, features.group, *features.known_after, *features.inputs, *asked} - {None}
    reference = Reference(
        name="training",
        columns=tuple(column for column in known if column.name in compared),
        allowed=tuple(sorted(map(str, beside))),
    )
    assert served.profile is not None
    window = Window(
        start=served.since / 1e9,
        end=served.until / 1e9,
        rows=served.counts.rows,
        columns=summaries(store.read_bytes(served.profile)),
    )
    verdict = judge(monitor, reference, window)
    return Skew(
        release=champion.version,
        window=served.number,
        rows=served.counts.rows,
        faults=verdict.reasons.get("schema", ()),
        moved=tuple(column.name for column in verdict.columns if column.alarm),
        reason=verdict.reason,
    )
