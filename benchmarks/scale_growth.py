"""How a figure grows with the rows: the exponent b of figure = a * rows^b."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

LIMIT = 1.05  # an exponent above it is called faster than linearly: less is what noise and caches do


@dataclass(frozen=True)
class Growth:
    """``exponent``: by least squares of log(figure) on log(rows). ``last``: between the two largest sizes alone, where
    what every run begins with counts least. ``per_million``: what a million rows more cost there.
    """

    exponent: float
    last: float
    per_million: float

    @property
    def faster(self) -> bool:
        return self.exponent > LIMIT

    def __str__(self) -> str:
        by = f"rows^{self.exponent:.2f} (last step {self.last:.2f}), {self.per_million:.1f} a million rows more"
        return f"{by}: {'FASTER than linearly' if self.faster else 'not faster than linearly'}"


def growth(figures: Mapping[int, float]) -> Growth | None:
    """Of {rows: figure}. None of fewer than two sizes, or of figures that are not positive."""
    sizes = sorted(figures)
    if len(sizes) < 2 or min(figures.values()) <= 0:
        return None
    x, y = [math.log(rows) for rows in sizes], [math.log(figures[rows]) for rows in sizes]
    before, most = sizes[-2:]
    return Growth(
        exponent=_slope(x, y),
        last=(y[-1] - y[-2]) / (x[-1] - x[-2]),
        per_million=(figures[most] - figures[before]) / (most - before) * 1e6,
    )


def _slope(x: list[float], y: list[float]) -> float:
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    products = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return products / sum((a - middle_x) ** 2 for a in x)
