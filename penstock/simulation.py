"""What a simulation plays: rows of past months as if they came now, with the labels they had, or with planted ones.

The planted shift changes what a feature means, and nothing else: within each day, labels are dealt out in the mirrored
order of one feature. As many rows of a day are positive as before, and no feature is distributed otherwise; only a
model that learnt from the labels of before is wrong (concept drift in the sense of Gama et al., "A survey on concept
drift adaptation", 2014).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from penstock.config import FeaturesConfig
from penstock.errors import ConfigError
from penstock.refs import Value

if TYPE_CHECKING:
    import polars as pl

Scenario = Literal["months", "concept"]
SCENARIOS: tuple[Scenario, ...] = ("months", "concept")


class Play(Value):
    """``history``: batches that are in the dataset when the play begins; ``live``: those that come while it goes on.

    ``source`` yields both. ``since``: the batch whose labels are planted first, or "" for none; ``mirrored``: the
    feature by whose mirrored order they are. ``share``: of the live rows. ``cuts``: up to where (ISO 8601) each later
    batch of the dataset goes, the first from the beginning of what is live.
    """

    source: str
    history: tuple[str, ...]
    live: tuple[str, ...]
    time: str
    label: str
    since: str = ""
    mirrored: str = ""
    share: float = 1.0
    cuts: tuple[str, ...] = ()

    @property
    def trained_until(self) -> str:
        """The last batch that the first model is trained on."""
        return self.history[self.history.index(self.since) - 1 if self.since else -1]

    @property
    def planted(self) -> tuple[str, ...]:
        """The batches with planted labels."""
        names = (*self.history, *self.live)
        return names[names.index(self.since) :] if self.since else ()


def mirror_labels(rows: pl.DataFrame, label: str, time: str, feature: str) -> pl.DataFrame:
    """``rows`` in their order, with each day's labels dealt out by the mirrored rank of ``feature``."""
    import polars as pl

    day, place = "__day__", "__place__"
    ranked = (
        rows.with_row_index(place)
        .with_columns(pl.col(time).cast(pl.Datetime("us")).dt.truncate("1d").alias(day))
        .sort(day, feature, place)
        .with_columns(pl.col(label).reverse().over(day))
    )
    return ranked.sort(place).select(rows.columns)


def sample(rows: pl.DataFrame, share: float) -> pl.DataFrame:
    """A ``share`` of the rows, evenly over their order."""
    import polars as pl

    place = pl.int_range(1, pl.len() + 1)
    return rows.filter((place * share).floor() > ((place - 1) * share).floor())


def strongest(rows: pl.DataFrame, features: FeaturesConfig, time: str) -> str:
    """The numeric feature whose order within a day says most about the label: by the correlation of its rank there.

    Raises ConfigError if none says anything.
    """
    import polars as pl

    day, label = pl.col(time).cast(pl.Datetime("us")).dt.truncate("1d"), pl.col(features.label).cast(pl.Float64)
    found: dict[str, float] = {}
    for name in features.numeric:
        if not rows[name].null_count() and rows[name].n_unique() > 1:  # a gap has no rank
            rank = pl.col(name).cast(pl.Float64).rank() / pl.len()
            apart = (rank - rank.mean()).over(day), (label - label.mean()).over(day)
            found[name] = abs(rows.select(pl.corr(*apart).fill_nan(0).fill_null(0)).item())
    best = max(found, key=lambda name: found[name], default="")
    if not best or not found[best]:
        raise ConfigError(
            "There is no feature by which a shift could be planted.",
            where="features.numeric",
            found=", ".join(features.numeric) or "no numeric feature",
            allowed="a numeric feature without gaps that says something about the label",
            next_step="--scenario months",
        )
    return best


def moment(text: str) -> datetime:
    """A cut as a time without its zone, as the rows have theirs."""
    return datetime.fromisoformat(text)
