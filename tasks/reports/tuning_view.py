"""What a report shows of a search for parameters: its plot, and its trials in rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.config import Project
from penstock.task_type import LOSSES
from penstock.tuning import Trial, Tuned, best_of, short
from tasks.reports.plots import Line, Mark, Plot, chart


def tuning_plot(tuned: Tuned, trials: Sequence[Trial]) -> Plot:
    """A dot for each trial that finished, and the best value so far; the trial that was chosen is marked."""
    name = LOSSES.get(tuned.metric, tuned.metric)
    finished = [(float(trial.number + 1), trial.value) for trial in trials if trial.value is not None]
    best_so_far: list[tuple[float, float]] = []
    for at in range(1, len(trials) + 1):
        best = best_of(trials[:at], tuned.lower_is_better)
        if best and best.value is not None:
            before = best_so_far[-1][1] if best_so_far else best.value
            best_so_far += [(float(at), before), (float(at), best.value)]
    values = [value for _, value in finished]
    margin = (max(values) - min(values)) * 0.06
    lines = [Line("best so far", "first", best_so_far), Line("trial", "second", finished, dots=True, joined=False)]
    x, y = (
        (1.0, float(max(len(trials), 2))),
        (min(values) - margin, max(values) + 3 * margin),
    )  # above the dots there is room for a word
    mark = Mark(tuned.best + 1, tuned.value, f"best: trial {tuned.best + 1}, {tuned.value:.4f}")
    svg = chart("Tuning", "trial", name, x, y, lines, mark)
    return "Trials", svg, f"{name[:1].upper()}{name[1:]} of each trial that finished."


def chosen_rows(tuned: Tuned, project: Project) -> list[dict[str, str]]:
    """A row for each parameter of the space: what was chosen, and among what."""
    space = project.tune.space if project.tune else {}
    return [
        {"name": name, "chosen": short(value), "among": str(space[name]) if name in space else ""}
        for name, value in tuned.params.items()
    ]


def trial_rows(tuned: Tuned, trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A row for each trial: the best first, then what was given up or failed."""
    sign = 1 if tuned.lower_is_better else -1
    order = sorted(trials, key=lambda trial: (trial.value is None, sign * (trial.value or 0.0), trial.number))
    return [
        {
            "number": trial.number + 1,
            "state": trial.state,
            "value": trial.value,
            "rounds": ", ".join(map(str, trial.rounds)),
            "reason": trial.reason,
            "params": [short(trial.params[name]) for name in tuned.params],
        }
        for trial in order
    ]
