"""What a model's raw scores say, by task type: the score and the decision that are kept, and what a file shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.task_type import TaskName

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Predictor:
    """Made of what evaluation stored (metrics.json): the ``task``, a binary one's ``threshold``, the ``classes``."""

    task: TaskName
    threshold: float
    classes: tuple[str, ...]

    def nothing(self) -> np.ndarray:
        """The raw scores of no rows."""
        import numpy as np

        return np.empty((0, len(self.classes)) if self.classes else 0, np.float32)

    def kept(self, raw: np.ndarray) -> dict[str, Any]:
        """`score` and `decision` as `penstock/served.py` has them. ``raw``: float32 (n,) or (n, classes)."""
        import numpy as np

        if self.task == "multiclass":
            names = np.array(self.classes, dtype=object)
            return {"score": raw.max(1, initial=0), "decision": names[raw.argmax(1)] if len(raw) else []}
        return {"score": raw, "decision": raw if self.task == "regression" else raw >= self.threshold}

    def shown(self, raw: np.ndarray) -> dict[str, Any]:
        """The columns of a file of predictions: `prediction`, and the probability that it is True or of each class."""
        decision = self.kept(raw)["decision"]
        if self.task == "multiclass":
            by_class = {f"probability_{name}": raw[:, number] for number, name in enumerate(self.classes)}
            return {"prediction": decision, **by_class}
        return {"prediction": decision} if self.task == "regression" else {"probability": raw, "prediction": decision}


def predictor(metrics: dict[str, Any]) -> Predictor:
    """``metrics``: of a model's evaluation."""
    return Predictor(
        task=metrics.get("task", "binary"),
        threshold=float(metrics.get("threshold", 0.0)),
        classes=tuple(metrics.get("classes", ())),
    )
