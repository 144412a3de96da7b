"""Computes the features that `features.derive` declares. NumPy alone: training, scoring and the service call the same.

A column comes as numbers (float64, of the very value that its type in the schema can hold; missing is NaN), as texts
(`Coded`) or as times (datetime64[us]; missing is NaT). Whatever has no answer, such as the logarithm of a negative
number, a division by zero or a number that no float32 can hold, is a missing value. Each row is computed by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.column_arrays import Coded
from penstock.fields import FLOAT32
from penstock.python_features import called

if TYPE_CHECKING:
    import numpy as np

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Step:
    """One operation: the feature it makes, the columns it needs, and its settings, all of which JSON can hold.

    ``text``: whether the feature is a category. ``how``: by the names that the project's YAML has for them.
    """

    name: str
    operation: str
    columns: tuple[str, ...]
    text: bool = False
    how: dict[str, Any] = field(default_factory=dict)

    @property
    def times(self) -> tuple[str, ...]:
        """Those of its columns that have to be times."""
        return self.columns if self.operation == "part" else tuple(self.how.get("times", ()))

    def plain(self) -> dict[str, Any]:
        """As JSON, without the source of a function: it is one for several steps, and nobody's business but ours."""
        how = {name: value for name, value in self.how.items() if name != "source"}
        return {**asdict(self), "columns": list(self.columns), "how": how}

    @classmethod
    def read(cls, plain: Mapping[str, Any], source: str) -> Step:
        """Of what `plain` gave."""
        how = {**plain["how"], "source": source} if plain["operation"] == "python" else plain["how"]
        return cls(**{**plain, "columns": tuple(plain["columns"]), "how": how})


def derived(
    steps: Sequence[Step], columns: Mapping[str, Any], categories: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Step, np.ndarray | Coded]]:
    """What each step makes of ``columns``: float64 (NaN: missing) or texts. ``categories``: of features, as learnt.

    Raises FunctionError where a function of the project fails.
    """
    import numpy as np

    of_function: dict[str, np.ndarray] | None = None
    with np.errstate(all="ignore"):
        for step in steps:
            if step.operation == "python":
                if of_function is None:  # one call makes all of its features
                    given = {name: columns[name] for name in step.columns}
                    of_function = called(step.how["call"], step.how["source"], given, step.how["features"])
                found = of_function[step.name]
            else:
                compute = OPERATIONS[step.operation]
                found = compute(step, [columns[name] for name in step.columns], categories.get(step.name, ()))
            yield step, found if isinstance(found, Coded) else np.where(np.abs(found) <= FLOAT32, found, np.nan)


def codes(found: Coded, places: Mapping[str, float]) -> np.ndarray:
    """For each row the place of its text among the categories, as float32; NaN where it is none of them, or missing."""
    import numpy as np

    of_distinct = np.array([*(places.get(text, np.nan) for text in found.distinct), np.nan], np.float32)
    return np.asarray(of_distinct[found.index])


def learnt(step: Step, column: Any, counts: np.ndarray) -> list[str]:
    """The categories of a feature of texts, sorted. ``column``: its column's distinct values in the training rows;
    ``counts``: of rows that have each. Of the ``top`` ones, equally frequent ones go by name."""
    if "top" not in step.how:
        [(_, found)] = derived([step], {step.columns[0]: column}, {})
        assert isinstance(found, Coded)
        return sorted({found.distinct[code] for code in found.index.tolist() if code >= 0})
    by_text = {column.distinct[code]: int(count) for code, count in zip(column.index, counts, strict=True) if code >= 0}
    ranked = sorted(by_text, key=lambda text: (-by_text[text], text))
    kept = set(ranked[: step.how["top"]])
    return sorted(kept | ({step.how["other"]} if len(ranked) > len(kept) else set()))


def _part(step: Step, given: list[Any], _: Sequence[str]) -> np.ndarray:
    import numpy as np

    [times] = given
    days, months, years = (times.astype(f"datetime64[{unit}]") for unit in "DMY")
    part = step.how["part"]
    month = months.astype(np.int64) % 12
    minute = (times - days).astype(np.int64) // 60_000_000
    found: np.ndarray = {
        "year": lambda: years.astype(np.int64) + 1970,
        "quarter": lambda: month // 3 + 1,
        "month": lambda: month + 1,
        "day": lambda: (days - months.astype(days.dtype)).astype(np.int64) + 1,
        "yearday": lambda: (days - years.astype(days.dtype)).astype(np.int64) + 1,
        "weekday": lambda: (days.astype(np.int64) + 3) % 7 + 1,  # 1970 began on a Thursday
        "hour": lambda: minute // 60,
        "minute": lambda: minute % 60,
    }[part]()
    return np.where(np.isnat(times), np.nan, found.astype(np.float64))


def _log(step: Step, given: list[Any], _: Sequence[str]) -> np.ndarray:
    import numpy as np

    found: np.ndarray = np.log(given[0] + step.how["plus"])  # of 0 it is infinite, of less NaN
    return found


def _clip(step: Step, given: list[Any], _: Sequence[str]) -> np.ndarray:
    import numpy as np

    low, high = step.how.get("min"), step.how.get("max")
    found: np.ndarray = np.clip(given[0], -np.inf if low is None else low, np.inf if high is None else high)
    return found


def _ratio(_: Step, given: list[Any], __: Sequence[str]) -> np.ndarray:
    found: np.ndarray = given[0] / given[1]
    return found


def _rename(_: Step, given: list[Any], __: Sequence[str]) -> Any:
    return given[0]


def _cast(step: Step, given: list[Any], _: Sequence[str]) -> np.ndarray | Coded:
    import numpy as np

    [values] = given
    if not step.text:
        numbers = [_number(text) for text in values.distinct]
        return np.asarray(np.array([*numbers, np.nan], np.float64)[values.index])
    places: dict[float, int] = {}
    index = [-1 if value != value else places.setdefault(value, len(places)) for value in values.tolist()]  # NaN: none
    return Coded([str(int(value)) for value in places], np.array(index, np.int64))


def _number(text: str) -> float:
    plain = text.strip()
    return float(plain) if NUMBER.fullmatch(plain) else float("nan")


def _group(step: Step, given: list[Any], categories: Sequence[str]) -> Coded:
    values, other = given[0], step.how.get("other")
    if "top" in step.how:
        known = set(categories)
        return Coded([text if text in known else other for text in values.distinct], values.index)
    group = {text: name for name, texts in step.how["into"].items() for text in texts}
    return Coded([group.get(text, text if other is None else other) for text in values.distinct], values.index)


OPERATIONS = {
    "part": _part,
    "log": _log,
    "clip": _clip,
    "ratio": _ratio,
    "rename": _rename,
    "cast": _cast,
    "group": _group,
}
