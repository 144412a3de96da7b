"""Reads one field of a request's rows: validates a value as the schema does, and gives the number the model takes."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.patterns import as_python
from penstock.times import DAY, microseconds

if TYPE_CHECKING:
    import numpy as np

INTEGERS = {
    f"{sign}Int{bits}": (0 if sign else -(2 ** (bits - 1)), 2 ** (bits - (not sign)) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
FLOATS = ("Float32", "Float64")
LISTED = 20  # allowed values that a message names
SHORT = 200  # characters of a value that is remembered
REMEMBERED = 10_000  # good values of a text field that are not checked again
EXACT = 2**53 - 1  # integers above it may not be exact in float64
MISSING = float("nan")
FLOAT32 = 3.4028234663852886e38  # the largest
_COMPARE: dict[str, Any] = {
    "at least": lambda value, bound: value >= bound,
    "greater than": lambda value, bound: value > bound,
    "at most": lambda value, bound: value <= bound,
    "less than": lambda value, bound: value < bound,
}


class Field:
    """One feature. ``one`` reads a value or raises ValueError saying what is wrong; ``many`` is the same for a column
    of good values at once, and None when they are not all good: then ``one`` finds out which."""

    codes: dict[str, float] | None = None

    def __init__(self, spec: dict[str, Any]) -> None:
        self.name: str = spec["name"]
        self.nullable: bool = spec["nullable"]
        checks: dict[str, Any] = spec["checks"]
        self.isin = frozenset(checks["isin"]) if "isin" in checks else None
        self.notin = frozenset(checks.get("notin", ()))

    def one(self, value: Any) -> float:
        if value is None:
            if self.nullable:
                return MISSING
            raise ValueError("is required")
        return self.present(value)

    def present(self, value: Any) -> float:
        raise NotImplementedError

    def many(self, values: Sequence[Any]) -> np.ndarray | list[float] | None:
        return None

    def array(self, values: np.ndarray, missing: np.ndarray) -> np.ndarray | None:
        """``many`` for numbers that are an array already. ``missing``: bool, which of them are null."""
        return None

    def listed(self, value: Any) -> None:
        if self.isin is not None and value not in self.isin:
            raise ValueError(f"must be one of {_listing(self.isin)}")
        if value in self.notin:
            raise ValueError(f"must not be one of {_listing(self.notin)}")


class Category(Field):
    """A text. Without categories it is no feature itself: others are derived from it."""

    def __init__(self, spec: dict[str, Any], reject: bool) -> None:
        super().__init__(spec)
        checks = spec["checks"]
        known = spec["categories"]
        self.codes = None if known is None else {value: float(code) for code, value in enumerate(known)}
        self.reject = reject
        self.matches: str = checks.get("str_matches", "")
        self.pattern = re.compile(as_python(self.matches)) if self.matches else None
        length = checks.get("str_length", {})
        self.shortest, self.longest = length.get("min_value"), length.get("max_value")
        # values seen and found right; bounded in number and length, so that no client can fill the memory
        self.good: dict[str | None, float] = {None: MISSING} if self.nullable else {}

    def one(self, value: Any) -> float:
        try:
            return self.good[value]
        except (KeyError, TypeError):  # not seen yet, or wrong; no key of a dictionary
            return super().one(value)

    def present(self, value: Any) -> float:
        if not isinstance(value, str):
            raise ValueError(f"must be text, not {_kind(value)}")
        self.listed(value)
        if self.pattern and not self.pattern.search(value):
            raise ValueError(f"must match {self.matches}")
        if self.shortest is not None and len(value) < self.shortest:
            raise ValueError(f"must have at least {self.shortest} characters")
        if self.longest is not None and len(value) > self.longest:
            raise ValueError(f"must have at most {self.longest} characters")
        code = self.codes.get(value) if self.codes else None
        if code is None and self.reject:
            raise ValueError("is a category that the training data did not have")
        result = MISSING if code is None else code
        if len(self.good) < REMEMBERED and len(value) <= SHORT:
            self.good[value] = result
        return result

    def many(self, values: Sequence[Any]) -> list[float] | None:
        good = self.good
        try:
            return [good[value] for value in values]
        except (KeyError, TypeError):
            return None


class Number(Field):
    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        kind = spec["dtype"]
        checks = spec["checks"]
        self.integer = kind in INTEGERS
        if not self.integer:  # an integer that is listed is the float next to it
            self.isin = self.isin and frozenset(map(float, self.isin))
            self.notin = frozenset(map(float, self.notin))
        # polars compares a Float32 column with a Float32 bound: 0.1 there is not 0.1 here
        self.as_column = float if kind != "Float32" else _float32
        self.bounds: list[tuple[str, float]] = []
        if "in_range" in checks:
            part = checks["in_range"]
            self.bounds += [("at least" if part["include_min"] else "greater than", part["min_value"])]
            self.bounds += [("at most" if part["include_max"] else "less than", part["max_value"])]
        words = {"greater_than_or_equal_to": "at least", "greater_than": "greater than"}
        words |= {"less_than_or_equal_to": "at most", "less_than": "less than"}
        self.bounds += [(words[name], checks[name]) for name in words if name in checks]
        self.limits = INTEGERS.get(kind)
        self.surely = self._surely_good()

    def _surely_good(self) -> tuple[float, float]:
        """A range of float32 within all bounds: a number in it is right, and so is the float32 nearest to it."""
        if self.isin is not None or self.notin:
            return math.inf, -math.inf
        lows, highs = [-FLOAT32], [FLOAT32]
        if self.integer:
            limits = self.limits or (-EXACT, EXACT)
            lows, highs = [_inside(max(limits[0], -EXACT), math.inf)], [_inside(min(limits[1], EXACT), -math.inf)]
        for word, bound in self.bounds:
            side = math.inf if word in ("at least", "greater than") else -math.inf
            near = _inside(self.as_column(bound), side, word in ("at least", "at most"))
            (lows if side > 0 else highs).append(near)
        return max(lows), min(highs)

    def one(self, value: Any) -> float:
        kind = type(value)
        if (kind is int or (kind is float and not self.integer)) and self.surely[0] <= value <= self.surely[1]:
            return value  # type: ignore[no-any-return]
        if value is None and self.nullable:
            return MISSING
        return super().one(value)

    def present(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"must be a number, not {_kind(value)}")
        if self.integer:
            if isinstance(value, float):
                if not value.is_integer():
                    raise ValueError("must be a whole number")
                value = int(value)
            if self.limits and not self.limits[0] <= value <= self.limits[1]:
                raise ValueError(f"must be from {self.limits[0]} to {self.limits[1]}")
        number = self._as_float(value)
        # polars compares integers with an integer as integers, and with anything else as float64
        whole = self.integer and abs(value) > EXACT
        for word, bound in self.bounds:
            exact = whole and isinstance(bound, int)
            if not _COMPARE[word](value if exact else number, bound if exact else self.as_column(bound)):
                raise ValueError(f"must be {word} {bound}")
        self.listed(value if whole else number)
        return self._rounded_once(int(value)) if whole else number

    def _rounded_once(self, value: int) -> float:
        """The float32 nearest to an integer that float64 cannot hold: by way of float64 it may be its neighbour."""
        import numpy as np

        return float(np.array(value, np.uint64 if value > 0 else np.int64).astype(np.float32))

    def _as_float(self, value: float) -> float:
        try:
            number = self.as_column(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or abs(number) > FLOAT32:
            raise ValueError("must be a finite number that a 32-bit float can hold")
        return number

    def many(self, values: Sequence[Any]) -> np.ndarray | None:
        import numpy as np

        kinds = set(map(type, values))
        if not kinds <= {float, int, type(None)} or (type(None) in kinds and not self.nullable):
            return None
        if self.isin is not None or self.notin:
            return None
        try:
            numbers = np.array(values, dtype=np.float64)
        except OverflowError:
            return None
        return self._all_good(numbers, values.count(None) if type(None) in kinds else 0)

    def array(self, values: np.ndarray, missing: np.ndarray) -> np.ndarray | None:
        import numpy as np

        gaps = int(missing.sum())
        if (gaps and not self.nullable) or self.isin is not None or self.notin:
            return None
        numbers = values.astype(np.float64)
        numbers[missing] = MISSING
        return self._all_good(numbers, gaps)

    def _all_good(self, numbers: np.ndarray, gaps: int) -> np.ndarray | None:
        """``numbers`` (float64, nulls as NaN) as float32 if every one is right. ``gaps``: how many are null."""
        import numpy as np

        empty = np.isnan(numbers)
        if empty.sum() != gaps:
            return None  # a NaN that was sent, not made of a null
        present = numbers[~empty] if gaps else numbers
        if not (np.abs(present) <= FLOAT32).all():
            return None
        if self.integer:
            low, high = self.limits or (-EXACT, EXACT)
            inside = (present >= max(low, -EXACT)) & (present <= min(high, EXACT))
            if not (inside.all() and (present == np.trunc(present)).all()):
                return None
        elif self.as_column is not float:
            present = present.astype(np.float32).astype(np.float64)
        for word, bound in self.bounds:
            if not np.all(_COMPARE[word](present, self.as_column(bound))):
                return None
        return numbers.astype(np.float32)


class Boolean(Field):
    def present(self, value: Any) -> float:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {_kind(value)}")
        self.listed(value)
        return float(value)


class Time(Field):
    """A time or a date, from which features are derived: microseconds, see `penstock.times`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self.date = spec["dtype"] == "Date"
        self.unit = 1000 if spec.get("unit") == "ms" else 1  # microseconds that the column tells apart

    def present(self, value: Any) -> int:
        if not isinstance(value, str):
            raise ValueError(f"must be a {'date' if self.date else 'time'} as text, not {_kind(value)}")
        try:
            found = microseconds(value)
        except ValueError:
            found = None
        if found is None or (self.date and found % DAY):
            example = "a date, such as 2024-05-31" if self.date else "a time, such as 2024-05-31T18:30:00Z"
            raise ValueError(f"must be {example} (ISO 8601)")
        return found - found % self.unit

    def wrong(self, values: np.ndarray) -> np.ndarray:
        """Which of some times (datetime64[us], NaT: null) are no values of the column (bool)."""
        import numpy as np

        gone = np.isnat(values)
        bad: np.ndarray = gone & (not self.nullable)
        return bad | (~gone & (values.view(np.int64) % DAY != 0)) if self.date else bad

    def cut(self, values: np.ndarray) -> np.ndarray:
        """``values`` as exactly as the column has them."""
        import numpy as np

        whole = values.view(np.int64)
        return np.where(np.isnat(values), whole, whole - whole % self.unit).view(values.dtype)


def _float32(value: float) -> float:
    """The nearest float32. Raises OverflowError if there is none."""
    return struct.unpack("f", struct.pack("f", float(value)))[0]  # type: ignore[no-any-return]


def _inside(bound: float, side: float, itself: bool = True) -> float:
    """A float32 at ``bound``, or else close to it on the side of ``side``. ``itself``: the bound is allowed."""
    if abs(bound) >= FLOAT32:
        return bound
    near = _float32(bound)
    if itself and near == bound:
        return near
    return near + math.copysign(max(abs(near) * 2**-22, 2**-126), side)  # two steps of float32


def field(spec: dict[str, Any], reject: bool) -> Field:
    if spec["categories"] is not None:
        return Category(spec, reject)
    if spec["dtype"] == "String":
        return Category(spec, False)
    if spec["dtype"] in ("Date", "Datetime"):
        return Time(spec)
    if spec["dtype"] == "Boolean":
        return Boolean(spec)
    if spec["dtype"] in INTEGERS or spec["dtype"] in FLOATS:
        return Number(spec)
    raise ValueError(f"`{spec['name']}` is {spec['dtype']}, which no feature can be")


def _kind(value: Any) -> str:
    """A value's JSON type: what a message may say of it without repeating the value."""
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _listing(values: frozenset[Any]) -> str:
    shown = sorted(values, key=str)
    return ", ".join(map(str, shown[:LISTED])) + (", ..." if len(shown) > LISTED else "")
