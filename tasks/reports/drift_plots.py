"""The drift report's plots as SVG text. Pure functions of summaries; colours come from the page, by class."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from penstock.sketch import ColumnSummary, shares
from tasks.reports.plots import ticks

if TYPE_CHECKING:
    import numpy as np

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 34, 6, 8, 22
BINS = 28
TAIL = 0.005  # share of rows beyond each end of the axis, counted in the bin at that end
LEVELS = 7  # categories drawn; the others are one
ROW, LABEL = 20, 84  # height of a category's row, width of its name
LONGEST = 12  # characters of a name that are drawn
SPARK_WIDTH, SPARK_HEIGHT = 200, 44
MOST = 3.0  # limits; a bar of the history is cut there
WINDOWS = 30  # of the history, the last ones


def distribution(reference: ColumnSummary, window: ColumnSummary) -> str:
    """Both distributions of one column: shares of rows in bins, or by category. Empty if there is nothing to draw."""
    if reference.points and (window.points or not window.values):
        return _histogram(reference, window)
    if reference.levels:
        return _bars(reference, window)
    return ""


def history(name: str, values: Sequence[float | None]) -> str:
    """A bar for each window, oldest first: its worst score in limits; the line is 1. None: it was not judged."""
    shown = list(values)[-WINDOWS:]
    step = SPARK_WIDTH / max(12, len(shown))
    unit = (SPARK_HEIGHT - 4) / MOST
    parts = [f'<svg viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" role="img" aria-label="{escape(name)}, history">']
    for number, value in enumerate(shown):
        left = number * step
        if value is None:
            parts.append(_text(left + step / 2, SPARK_HEIGHT - 4, "–", "middle"))
            continue
        tall = max(1.0, min(value, MOST) * unit)
        kind = "beyond" if value > 1 else "window"
        parts.append(_rectangle(left + step * 0.12, SPARK_HEIGHT - tall, step * 0.76, tall, f"bar {kind}"))
    limit = SPARK_HEIGHT - unit
    parts.append(f'<line class="limit" x1="0" y1="{limit:.1f}" x2="{SPARK_WIDTH}" y2="{limit:.1f}"/>')
    return "\n".join([*parts, "</svg>"])


def _histogram(reference: ColumnSummary, window: ColumnSummary) -> str:
    import numpy as np

    low, high = _span(reference, window)
    edges = np.linspace(low, high, BINS + 1)
    drawn = [(part, _binned(part, edges)) for part in (reference, window) if part.points]
    top = max(float(heights.max()) for _, heights in drawn) or 1.0
    bottom = HEIGHT - BOTTOM

    def across(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def down(share: float) -> float:
        return bottom - share / top * (bottom - TOP)

    parts = [_opening(reference.name, HEIGHT)]
    for value, text in ticks(0, top * 100, 3):
        y = f"{down(value / 100):.1f}"
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        parts.append(_text(LEFT - 4, down(value / 100) + 4, f"{text}%", "end"))
    for value, text in ticks(low, high, 4):
        plain = text if abs(value) >= 10_000 else text.replace(",", "")  # it may be a year
        parts.append(_text(across(value), HEIGHT - 6, plain, "middle"))
    for part, heights in drawn:
        corners = zip(np.repeat(edges, 2)[1:-1], np.repeat(heights, 2), strict=True)
        places = [(across(edge), down(share)) for edge, share in corners]
        line = " ".join(f"{'L' if number else 'M'}{x:.1f},{y:.1f}" for number, (x, y) in enumerate(places))
        if part is reference:
            parts.append(
                f'<path class="area" d="{line} L{places[-1][0]:.1f},{bottom} L{places[0][0]:.1f},{bottom} Z"/>'
            )
        else:
            parts.append(f'<path class="outline" d="{line}"/>')
    parts.append(f'<path class="axis" d="M{LEFT},{bottom} L{WIDTH - RIGHT},{bottom}"/>')
    return "\n".join([*parts, "</svg>"])


def _span(reference: ColumnSummary, window: ColumnSummary) -> tuple[float, float]:
    """From the lower to the upper tail of both, or a little around a single value."""
    import numpy as np

    ends: list[float] = []
    for part in (reference, window):
        if part.points:
            at = np.searchsorted(part.upto, [TAIL, 1 - TAIL]).clip(0, len(part.points) - 1)
            ends += [part.points[place] for place in at]
    low, high = min(ends), max(ends)
    around = (high - low) * 0.02 or abs(low) * 0.05 or 0.5
    return low - around, high + around


def _binned(summary: ColumnSummary, edges: np.ndarray) -> np.ndarray:
    import numpy as np

    _, upto = shares(summary, edges[1:-1])
    return np.diff(upto, prepend=0.0, append=1.0).clip(0, 1)


def _bars(reference: ColumnSummary, window: ColumnSummary) -> str:
    rows = _levels(reference, window)
    height = len(rows) * ROW + 4
    most = max((max(row[1:]) for row in rows), default=0) or 1.0
    room = WIDTH - LABEL - 44
    parts = [_opening(reference.name, height)]
    for number, (name, before, now) in enumerate(rows):
        top = number * ROW + 3
        parts.append(_text(LABEL - 6, top + 11, _cut(name), "end"))
        parts.append(_rectangle(LABEL, top, before / most * room, 7, "area"))
        parts.append(_rectangle(LABEL, top + 7, now / most * room, 7, "bar window"))
        parts.append(_text(LABEL + max(before, now) / most * room + 4, top + 11, f"{now:.1%}", "start"))
    return "\n".join([*parts, "</svg>"])


def _levels(reference: ColumnSummary, window: ColumnSummary) -> list[tuple[str, float, float]]:
    """(name, share in training, share in the window), the largest first, the rest as one."""
    before, now = _level_shares(reference), _level_shares(window)
    names = sorted(before.keys() | now.keys(), key=lambda name: (-max(before.get(name, 0), now.get(name, 0)), name))
    rows = [(name, before.get(name, 0.0), now.get(name, 0.0)) for name in names[:LEVELS]]
    rest = names[LEVELS:]
    if rest:
        others = [sum(found.get(name, 0.0) for name in rest) for found in (before, now)]
        rows.append((f"{len(rest)} others", others[0], others[1]))
    return rows


def _level_shares(summary: ColumnSummary) -> dict[str, float]:
    return {name: count / max(1, summary.values) for name, count in summary.levels}


def _opening(name: str, height: int) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name)}">'


def _rectangle(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _cut(name: str) -> str:
    return (name if len(name) <= LONGEST else name[: LONGEST - 1] + "…") or "(empty)"
