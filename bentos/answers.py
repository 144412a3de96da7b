"""What a release answers about rows, by its task type: the members of the JSON, the columns of the Arrow stream, and
how the OpenAPI document describes them.

`predictions` is what every task type has: a decision, the name of a class, a number. Scores are float32: probabilities
of True (n,), of each class (n, classes), or the numbers themselves (n,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from penstock.task_type import TASK_TYPES

if TYPE_CHECKING:
    import numpy as np

SHARE = {"type": "number", "minimum": 0, "maximum": 1}


class Answers(Protocol):
    """``summary``, ``margin``: words for people, see `penstock.task_type.TaskType`."""

    @property
    def summary(self) -> str: ...
    @property
    def margin(self) -> str: ...

    def members(self, scores: np.ndarray) -> dict[str, Any]:
        """Of the JSON answer, a list each, as long as there are rows."""

    def columns(self, scores: np.ndarray) -> dict[str, Any]:
        """Of the Arrow answer."""

    def schema(self) -> dict[str, dict[str, Any]]:
        """JSON Schema of one item of each member."""

    def rule(self) -> str:
        """How a prediction is made of scores, in words; "" where there is nothing to say."""


def answers_of(about: dict[str, Any]) -> Answers:
    """``about``: what packaging wrote of the release."""
    task = about["task"]
    if task == "multiclass":
        return _Classes(tuple(about["classes"]))
    return _Numbers() if task == "regression" else _Decisions(float(about["threshold"]))


@dataclass(frozen=True)
class _Decisions:
    threshold: float
    summary = TASK_TYPES["binary"].answer
    margin = TASK_TYPES["binary"].margin

    def members(self, scores: np.ndarray) -> dict[str, Any]:
        return {"predictions": scores >= self.threshold, "probabilities": scores}

    def columns(self, scores: np.ndarray) -> dict[str, Any]:
        return {"prediction": scores >= self.threshold, "probability": scores}

    def schema(self) -> dict[str, dict[str, Any]]:
        return {"predictions": {"type": "boolean"}, "probabilities": SHARE}

    def rule(self) -> str:
        return f"it says yes from {self.threshold:.4g} on"


@dataclass(frozen=True)
class _Classes:
    classes: tuple[str, ...]
    summary = TASK_TYPES["multiclass"].answer
    margin = TASK_TYPES["multiclass"].margin

    def members(self, scores: np.ndarray) -> dict[str, Any]:
        names = self.classes
        return {
            "predictions": [names[number] for number in scores.argmax(1).tolist()],
            # NumPy's float32 as they are: as floats of Python each would be written with 17 digits
            "probabilities": [dict(zip(names, row, strict=True)) for row in scores],
        }

    def columns(self, scores: np.ndarray) -> dict[str, Any]:
        import numpy as np
        import pyarrow as pa

        parts = [pa.array(np.ascontiguousarray(scores[:, number])) for number in range(len(self.classes))]
        return {
            "prediction": pa.array([self.classes[number] for number in scores.argmax(1).tolist()]),
            "probabilities": pa.StructArray.from_arrays(parts, names=list(self.classes)),
        }

    def schema(self) -> dict[str, dict[str, Any]]:
        names = list(self.classes)
        of_each = {"type": "object", "properties": dict.fromkeys(names, SHARE), "required": names}
        return {"predictions": {"type": "string", "enum": names}, "probabilities": of_each}

    def rule(self) -> str:
        return f"it knows {len(self.classes)} classes, and says the most probable one"


@dataclass(frozen=True)
class _Numbers:
    summary = TASK_TYPES["regression"].answer
    margin = TASK_TYPES["regression"].margin

    def members(self, scores: np.ndarray) -> dict[str, Any]:
        return {"predictions": scores}

    def columns(self, scores: np.ndarray) -> dict[str, Any]:
        return {"prediction": scores}

    def schema(self) -> dict[str, dict[str, Any]]:
        return {"predictions": {"type": "number"}}

    def rule(self) -> str:
        return ""
