"""The report's plots as SVG text. Pure functions of what evaluation stores; colours come from the page, by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from penstock.task_type import LOSSES

WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 34, 44
MOST_POINTS = 400
FEW_POINTS = 100  # of a cloud, up to which its dots are large
STYLE = """\
<style>
svg { background: #ffffff } text { fill: #5d6773; font: 12px sans-serif } .strong { fill: #1c2127 }
.grid { stroke: #e9ecf0 } .axis { fill: none; stroke: #8a94a0 } .mark { stroke: #1f5fbf; stroke-dasharray: 2 3 }
.line { fill: none; stroke-width: 2 } .line.first { stroke: #1f5fbf } .line.second { stroke: #b85c00 }
.line.reference { stroke: #8a94a0; stroke-dasharray: 3 4 }
circle.first, .cell { fill: #1f5fbf } circle.second { fill: #b85c00 }
</style>
"""

Point = tuple[float, float]
Range = tuple[float, float]


class Line(NamedTuple):
    """One curve. ``style`` is its class on the page: first, second or reference."""

    name: str
    style: str
    points: Sequence[Point]
    dots: bool = False
    joined: bool = True


class Mark(NamedTuple):
    """A vertical line at ``x`` with a word beside it, and a dot on the curve at ``y``."""

    x: float
    y: float
    text: str


class Scored(NamedTuple):
    """A model on the test rows: what metrics.json and curves.json say of it."""

    name: str
    style: str
    metrics: dict[str, Any]
    curves: dict[str, Any]

    def line(self, metric: str, points: Sequence[Point], dots: bool = False) -> Line:
        """A curve of it, with the metric that goes with the curve in its name."""
        value = self.metrics.get("metrics", {}).get(metric)
        return Line(self.name if value is None else f"{self.name} {value:.4f}", self.style, points, dots)


Plot = tuple[str, str, str]  # title, SVG, what it shows
UNIT = (0.0, 1.0)


def roc(models: Sequence[Scored]) -> Plot:
    """ROC curves; the last model is drawn on top."""
    lines = [Line("chance", "reference", [(0, 0), (1, 1)])]
    for model in models:
        curve = model.curves.get("roc", {})
        lines.append(model.line("auc", list(zip(curve.get("fpr", []), curve.get("tpr", []), strict=True))))
    svg = chart("ROC curve", "false positive rate", "true positive rate", UNIT, UNIT, lines)
    return "ROC", svg, "The number is the area under the curve."


def precision_recall(models: Sequence[Scored]) -> Plot:
    """Precision over recall, above the share of positives, which is what guessing gives."""
    of = models[-1].metrics
    rate = of["positives"] / of["rows"] if of.get("rows") else 0.0
    lines = [Line(f"base rate {rate:.2f}", "reference", [(0, rate), (1, rate)])]
    for model in models:
        curve = model.curves.get("pr", {})
        points = list(zip(curve.get("recall", []), curve.get("precision", []), strict=True))
        lines.append(model.line("average_precision", points))
    svg = chart("Precision-recall curve", "recall", "precision", UNIT, UNIT, lines)
    return "Precision and recall", svg, "The number is the average precision."


def calibration(models: Sequence[Scored]) -> Plot:
    """Share of positives over mean score, both axes cut where the scores end."""
    lines = [
        model.line(
            "calibration_error",
            [(row["mean_score"], row["positive_rate"]) for row in model.curves.get("calibration", [])],
            dots=True,
        )
        for model in models
    ]
    top = min(1.0, max([0.1, *(value for line in lines for point in line.points for value in point)]) * 1.05)
    perfect = Line("perfect", "reference", [(0, 0), (top, top)])
    svg = chart("Calibration", "mean score", "share of positives", (0, top), (0, top), [perfect, *lines])
    return "Calibration", svg, "Rows in bins of equal count. The number is the calibration error."


def learning_curve(history: dict[str, Any]) -> Plot:
    """The loss of training and validation rows after each round, the best one marked."""
    loss = LOSSES.get(history.get("metric", "logloss"), history.get("metric", ""))
    train, validation = history.get("train", []), history.get("validation", [])
    lines = [
        Line(name, style, [(number, value) for number, value in enumerate(values, 1) if value is not None])
        for name, style, values in (("train", "second", train), ("validation", "first", validation))
    ]
    values = [value for line in lines for _, value in line.points] or [0.0]
    best = history.get("best_iteration")
    mark = None
    if best is not None and best < len(validation) and validation[best] is not None:
        mark = Mark(best + 1, validation[best], f"best: {best + 1} rounds, {validation[best]:.4f}")
    margin = (max(values) - min(values)) * 0.06
    x = (1.0, float(max(len(train), len(validation), 1)))
    y = (min(values) - margin, max(values) + margin)
    note = f"{loss[:1].upper()}{loss[1:]} after each round. Those after the best one are cut off."
    return "Learning curve", chart("Learning curve", "rounds", loss, x, y, lines, mark), note


def standalone(svg: str) -> str:
    """A chart as a file of its own: with the colours that the report's style sheet gives it there."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(">", f">\n{STYLE}", 1)


def chart(
    title: str, x_label: str, y_label: str, x: Range, y: Range, lines: Sequence[Line], mark: Mark | None = None
) -> str:
    """The whole `<svg>`: axes with round ticks, the lines in order, a legend above them."""
    x, y = _opened(x), _opened(y)

    def across(value: float) -> float:
        return LEFT + (value - x[0]) / (x[1] - x[0]) * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return HEIGHT - BOTTOM - (value - y[0]) / (y[1] - y[0]) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value, text in ticks(*x):
        parts.append(f'<line class="grid" x1="{across(value):.1f}" y1="{TOP}" x2="{across(value):.1f}" y2="{bottom}"/>')
        parts.append(f'<text x="{across(value):.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>')
    for value, text in ticks(*y):
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{down(value):.1f}" x2="{right}" y2="{down(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{down(value) + 4:.1f}" text-anchor="end">{text}</text>')
    parts.append(f'<path class="axis" d="M{LEFT},{TOP} L{LEFT},{bottom} L{right},{bottom}"/>')
    middle = (TOP + bottom) / 2
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(y_label)}</text>'
    )
    for line in lines:
        places = [(across(a), down(b)) for a, b in thinned(line.points)]
        if line.joined:
            parts.append(f'<path class="line {line.style}" d="{_path(places)}"/>')
        radius = 3 if line.joined or len(places) <= FEW_POINTS else 1.5
        if line.dots or len(places) == 1:
            parts += [f'<circle class="{line.style}" cx="{a:.1f}" cy="{b:.1f}" r="{radius}"/>' for a, b in places]
    if mark:
        at = across(mark.x)
        left_half = at < (LEFT + right) / 2
        where = (
            f'x="{at + (6 if left_half else -6):.1f}" y="{TOP + 14}" text-anchor="{"start" if left_half else "end"}"'
        )
        parts.append(f'<line class="mark" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(f'<circle class="first" cx="{at:.1f}" cy="{down(mark.y):.1f}" r="4"/>')
        parts.append(f'<text class="strong" {where}>{escape(mark.text)}</text>')
    return "\n".join([*parts, *_legend(lines), "</svg>"])


def ticks(low: float, high: float, about: int = 5) -> list[tuple[float, str]]:
    """Round values within [low, high] and their labels, all with the same number of decimals."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [(number * step, f"{number * step:,.{decimals}f}") for number in range(first, last + 1)]


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most about MOST_POINTS of the points, evenly, the last one among them."""
    stride = math.ceil(len(points) / MOST_POINTS) or 1
    kept = list(points[::stride])
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return kept


def _opened(span: Range) -> Range:
    """The range itself, or a little around it where it is a single value."""
    low, high = span
    if high > low:
        return span
    around = abs(low) * 0.05 or 0.5
    return low - around, low + around


def _path(places: Sequence[Point]) -> str:
    return " ".join(f"{'L' if number else 'M'}{a:.1f},{b:.1f}" for number, (a, b) in enumerate(places))


def _legend(lines: Sequence[Line]) -> list[str]:
    parts, at = [], float(LEFT)
    for line in lines:
        if line.joined:
            parts.append(f'<path class="line {line.style}" d="M{at:.1f},16 L{at + 16:.1f},16"/>')
        else:
            parts.append(f'<circle class="{line.style}" cx="{at + 10:.1f}" cy="16" r="3"/>')
        parts.append(f'<text x="{at + 21:.1f}" y="20">{escape(line.name)}</text>')
        at += 21 + 6.4 * len(line.name) + 16
    return parts
