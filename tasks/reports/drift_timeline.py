"""The drift report's plots over time as SVG text: verdicts by window, and the live metric by period. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from penstock.live_metrics import WindowScore
from penstock.window import KINDS, WindowDrift
from tasks.reports.plots import ticks

WIDTH, NAMES = 1040, 90  # of the drawing, and of the names at its left
ROW = 22
WINDOWS = 60  # the last ones
HEIGHT, TOP, BOTTOM = 170, 10, 24
RIGHT = 12


def verdicts(windows: Sequence[WindowDrift]) -> str:
    """A square for each kind and window, oldest first: beyond its limits, within them, or not judged."""
    shown = windows[-WINDOWS:]
    step = min(26.0, (WIDTH - NAMES) / max(1, len(shown)))
    height = len(KINDS) * ROW + 22
    parts = [_opening("verdicts by window", height)]
    for place, kind in enumerate(KINDS):
        top = place * ROW
        parts.append(_text(NAMES - 10, top + 15, kind, "end"))
        for number, window in enumerate(shown):
            state = "beyond" if kind in window.reasons else "within" if kind in window.judged else "unjudged"
            said = f"{kind}, until {_time(window.end)}: {STATES[state]}"
            left, side = NAMES + number * step, step - 2
            parts.append(
                f'<rect class="cell {state}" x="{left:.1f}" y="{top + 3}" width="{side:.1f}" height="{ROW - 6}">'
                f"<title>{escape(said)}</title></rect>"
            )
    for number in sorted({0, len(shown) - 1}):
        if shown and (number == 0 or step * len(shown) > 260):
            anchor = "start" if number == 0 else "end"
            at = NAMES + (number + (anchor == "end")) * step - (2 if number else 0)
            parts.append(_text(at, height - 5, _time(shown[number].end), anchor))
    return "\n".join([*parts, "</svg>"])


STATES = {"beyond": "beyond its limits", "within": "within its limits", "unjudged": "not judged"}


def quality(scores: Sequence[WindowScore], metric: str, holdout: float | None) -> str:
    """A metric by period and release, oldest first, with 95 % intervals; hollow and dashed where it is an estimate.

    ``holdout``: its value on the test rows, a line. Empty where no period has it.
    """
    found = [(score, _measured(score, metric), _estimated(score, metric)) for score in scores]
    found = [one for one in found if one[1] or one[2]][-WINDOWS:]
    ends = [end for _, *both in found for part in both if part for end in part]
    if not ends:
        return ""
    low, high = min([*ends, holdout or ends[0]]), max([*ends, holdout or ends[0]])
    around = (high - low) * 0.08 or 0.01
    low, high = low - around, high + around
    step = min(90.0, (WIDTH - NAMES - RIGHT) / len(found))

    def down(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_opening(f"{metric} by period", HEIGHT)]
    for value, text in ticks(low, high, 4):
        y = f"{down(value):.1f}"
        parts.append(f'<line class="grid" x1="{NAMES}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        parts.append(_text(NAMES - 10, down(value) + 4, text, "end"))
    if holdout is not None:
        y = f"{down(holdout):.1f}"
        parts.append(f'<line class="limit" x1="{NAMES}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        parts.append(_text(WIDTH - RIGHT, down(holdout) - 4, f"test rows {holdout:.3f}", "end"))
    for number, (score, measured, estimate) in enumerate(found):
        middle = NAMES + (number + 0.5) * step
        pairs = ((measured, "live" if score.final else "live provisional", -5), (estimate, "estimate", 5))
        for part, kind, aside in pairs:
            if part is not None:
                parts += _whisker(middle + aside, [down(value) for value in part], kind)
        if number % max(1, round(70 / step)) == 0:
            parts.append(_text(middle, HEIGHT - 6, score.coverage.period, "middle"))
    return "\n".join([*parts, "</svg>"])


def _whisker(x: float, at: Sequence[float], kind: str) -> list[str]:
    middle, low, high = at
    return [
        f'<line class="{kind}" x1="{x:.1f}" y1="{high:.1f}" x2="{x:.1f}" y2="{low:.1f}"/>',
        f'<circle class="{kind}" cx="{x:.1f}" cy="{middle:.1f}" r="3.5"/>',
    ]


def _measured(score: WindowScore, metric: str) -> tuple[float, float, float] | None:
    found = score.metrics.get(metric)
    return (found.value, found.low, found.high) if found else None


def _estimated(score: WindowScore, metric: str) -> tuple[float, float, float] | None:
    found = score.estimate.get(metric)
    return (found.value, found.low, found.high) if found else None


def _opening(name: str, height: int) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name)}">'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
