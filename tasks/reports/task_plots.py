"""The plots of a report, as the task type is: SVG text, see `tasks/reports/plots.py`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from tasks.reports.plots import (
    BOTTOM,
    HEIGHT,
    LEFT,
    TOP,
    Line,
    Plot,
    Scored,
    calibration,
    chart,
    learning_curve,
    precision_recall,
    roc,
)

SQUARE = HEIGHT - TOP - BOTTOM  # side of the confusion matrix
NUMBERED = 12  # classes up to which cells have room for their numbers
NAMED = 24  # ... and classes for their names


def plots_of(task: str, models: Sequence[Scored], history: dict[str, Any]) -> list[Plot]:
    """``models``: the candidate last, before it the champion if it could be scored on the same rows."""
    if task == "multiclass":
        return [confusion_matrix(models[-1]), learning_curve(history)]
    if task == "regression":
        return [predicted_and_actual(models), residuals(models), learning_curve(history)]
    return [roc(models), precision_recall(models), calibration(models), learning_curve(history)]


def confusion_matrix(model: Scored) -> Plot:
    """Rows of each class by what they were predicted as, shaded by their share of the class."""
    names, table = model.metrics["classes"], model.curves["confusion"]
    side = SQUARE / len(names)
    upright = max(map(len, names)) * 7 < side
    parts = [f'<svg viewBox="0 0 460 {HEIGHT}" role="img" aria-label="Confusion matrix">']
    left = LEFT + 40
    for down, (name, row) in enumerate(zip(names, table, strict=True)):
        total = sum(row) or 1
        for across, count in enumerate(row):
            x, y = left + across * side, TOP + down * side
            share = count / total
            parts.append(
                f'<rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" '
                f'fill-opacity="{share:.3f}"/>'
            )
            if len(names) <= NUMBERED and count:
                light = ' style="fill: #fff"' if share > 0.55 else ""
                parts.append(
                    f'<text class="strong"{light} x="{x + side / 2:.1f}" y="{y + side / 2 + 4:.1f}" '
                    f'text-anchor="middle">{count:,}</text>'
                )
        if len(names) <= NAMED:
            middle, short = (down + 0.5) * side, escape(name if len(name) <= 12 else name[:11] + "…")
            parts.append(f'<text x="{left - 6}" y="{TOP + middle + 4:.1f}" text-anchor="end">{short}</text>')
            x, y = left + middle, HEIGHT - BOTTOM + 16
            turned = 'text-anchor="middle"' if upright else f'text-anchor="end" transform="rotate(-35 {x:.1f} {y})"'
            parts.append(f'<text x="{x:.1f}" y="{y}" {turned}>{short}</text>')
    parts.append(
        f'<path class="axis" d="M{left},{TOP} h{SQUARE} v{SQUARE} h-{SQUARE} Z"/>'
        f'<text x="{left}" y="{TOP - 10}">down: true, across: predicted</text></svg>'
    )
    return "Confusion matrix", "\n".join(parts), "Test rows; shaded by their share of the true class."


def predicted_and_actual(models: Sequence[Scored]) -> Plot:
    """A point for some test rows, evenly among them; on the line a prediction is right."""
    lines, values = [], [0.0]
    for model in models:
        points = model.curves["points"]
        pairs = list(zip(points["label"], points["prediction"], strict=True))
        lines.append(model.line("r2", pairs, dots=True)._replace(joined=False))
        values += points["label"]
    span = (min(values[1:]), max(values[1:]))
    right = Line("right", "reference", [(span[0], span[0]), (span[1], span[1])])
    predicted = [value for line in lines for _, value in line.points]
    y = (min(span[0], *predicted), max(span[1], *predicted))
    svg = chart("Predicted and actual", "actual", "predicted", span, y, [right, *lines])
    return "Predicted and actual", svg, "Some of the test rows. The number is R²."


def residuals(models: Sequence[Scored]) -> Plot:
    """A histogram of prediction - actual; the outermost hundredth of the rows is left out."""
    lines = []
    for model in models:
        found = model.curves["residuals"]
        edges, total = found["edges"], sum(found["rows"]) + found["outside"]
        steps = [
            (edge, count / total)
            for number, count in enumerate(found["rows"])
            for edge in (edges[number], edges[number + 1])
        ]
        lines.append(model.line("mae", steps))
    x = (min(line.points[0][0] for line in lines), max(line.points[-1][0] for line in lines))
    top = max(share for line in lines for _, share in line.points) * 1.05
    svg = chart("Residuals", "predicted - actual", "share of the rows", x, (0, top), lines)
    return (
        "Residuals",
        svg,
        "Predicted less actual; the outermost 1 % is left out. The number is the mean absolute error.",
    )
