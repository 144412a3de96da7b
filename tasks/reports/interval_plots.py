"""Losses beside the champion as SVG text: each with its interval, its margin and the line of no difference.

Pure. One small SVG for each loss, and one for the axis below, so that names and notes stand beside them as text of the
page. Places are percentages: a drawing fills whatever width there is, and no text in it shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from tasks.reports.plots import Range, ticks

ROOM = 0.06  # of the span, left free at both ends
TICKS = 6  # about


class Interval(NamedTuple):
    """A loss (negative: better) and its limits. ``margin``: the loss that is allowed, or None if it is not known."""

    name: str
    loss: float
    low: float
    high: float
    margin: float | None
    confidence: float
    passed: bool


def span(rows: Sequence[Interval]) -> Range:
    """What the axis shows: every loss, every margin and 0; the interval's ends as far as they do not squeeze these."""
    known = [0.0, *(row.loss for row in rows), *(row.margin for row in rows if row.margin is not None)]
    low, high = min(known), max(known)
    wide = high - low
    if wide:
        low = max(low - wide, min([low, *(row.low for row in rows)]))
        high = min(high + wide, max([high, *(row.high for row in rows)]))
    else:
        low, high = min(row.low for row in rows), max(row.high for row in rows)
    room = (high - low) * ROOM or 0.5
    return low - room, high + room


def interval(row: Interval, axis: Range) -> str:
    """One loss. What lies beyond the axis is cut, with an arrow."""
    kind = "over" if not row.passed else "shown" if row.margin is None or row.high <= row.margin else "unsure"
    low, high = max(row.low, axis[0]), min(row.high, axis[1])
    parts = [f'<svg class="row" role="img" aria-label="{escape(said(row))}">', f"<title>{escape(said(row))}</title>"]
    if row.margin is not None:
        at = _place(row.margin, axis)
        parts.append(f'<rect class="beyond-margin" x="{at:.2f}%" y="0" width="{100 - at:.2f}%" height="100%"/>')
        parts.append(_upright("margin", at))
    parts.append(_upright("zero", _place(0.0, axis)))
    parts.append(
        f'<line class="whisker {kind}" x1="{_place(low, axis):.2f}%" y1="50%" x2="{_place(high, axis):.2f}%" y2="50%"/>'
    )
    for end, cut, arrow in ((low, low > row.low, "M6,-5 L0,0 L6,5"), (high, high < row.high, "M-6,-5 L0,0 L-6,5")):
        path = f'<path class="whisker {kind}" d="{arrow if cut else "M0,-5 L0,5"}"/>'
        parts.append(f'<svg x="{_place(end, axis):.2f}%" y="50%" overflow="visible">{path}</svg>')
    parts.append(f'<circle class="{kind}" cx="{_place(row.loss, axis):.2f}%" cy="50%" r="4.5"/>')
    return "\n".join([*parts, "</svg>"])


def scale(axis: Range) -> str:
    """The axis below the losses, and which side is better."""
    parts = ['<svg class="scale" aria-hidden="true">']
    for value, text in ticks(*axis, TICKS):
        at = _place(value, axis)
        parts.append(f'<line class="axis" x1="{at:.2f}%" y1="0" x2="{at:.2f}%" y2="5"/>')
        minus = text.replace("-", "\N{MINUS SIGN}")
        parts.append(f'<text x="{at:.2f}%" y="18" text-anchor="middle">{minus}</text>')
    return "\n".join([*parts, "</svg>"])


def said(row: Interval) -> str:
    """The same in words."""
    margin = "no margin is known" if row.margin is None else f"the margin is {row.margin:.3g}"
    return (
        f"{row.name}: loss {row.loss:.3g}, from {row.low:.3g} to {row.high:.3g}, each with "
        f"{100 * row.confidence:.4g} %; {margin}; {'passed' if row.passed else 'failed'}"
    )


def _upright(kind: str, at: float) -> str:
    return f'<line class="{kind}" x1="{at:.2f}%" y1="0" x2="{at:.2f}%" y2="100%"/>'


def _place(value: float, axis: Range) -> float:
    return 100 * (value - axis[0]) / (axis[1] - axis[0])
