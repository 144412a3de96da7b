"""Features that a function of the project makes: loads it from its source, and calls it. NumPy alone.

The source travels in the config, the model and the package, so that every one of them means the function it was made
with. It is one file that imports nothing but Python's own library and NumPy. Each row has to be computed by itself.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.column_arrays import Coded

if TYPE_CHECKING:
    import numpy as np


class FunctionError(RuntimeError):
    """The function cannot be loaded, failed, or gave something else than its features."""


@functools.lru_cache(maxsize=8)
def function(call: str, source: str) -> Callable[[dict[str, np.ndarray]], Mapping[str, Any]]:
    """`module:function` out of its source. Raises FunctionError."""
    module, _, name = call.partition(":")
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    made = types.ModuleType(f"penstock_features_{digest}")
    file = f"<{module.replace('.', '/')}.py>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # tracebacks show its lines
    sys.modules[made.__name__] = made  # dataclasses look their module up
    try:
        exec(compile(source, file, "exec"), made.__dict__)  # noqa: S102  # the project's own code
        found: Callable[[dict[str, np.ndarray]], Mapping[str, Any]] = getattr(made, name)
    except Exception as error:
        raise FunctionError(_words(error, file)) from error
    return found


def called(call: str, source: str, columns: Mapping[str, Any], names: Sequence[str]) -> dict[str, np.ndarray]:
    """What the function makes of ``columns`` (see `penstock.derive`): float64 by name, NaN where there is none.

    It gets copies: numbers as float64 (NaN: missing), texts as objects (None: missing), times as datetime64[us] (NaT).
    Raises FunctionError.
    """
    import numpy as np

    given = {name: _array(column) for name, column in columns.items()}
    rows = len(next(iter(given.values())))
    if not rows:
        return {name: np.empty(0) for name in names}
    try:
        found = function(call, source)(given)
    except FunctionError:
        raise
    except Exception as error:
        raise FunctionError(_words(error, f"<{call.partition(':')[0].replace('.', '/')}.py>")) from error
    if not isinstance(found, Mapping) or set(found) != set(names):
        keys = ", ".join(sorted(map(str, found))) if isinstance(found, Mapping) else type(found).__name__
        raise FunctionError(f"it returned {keys or 'nothing'}, not the features {', '.join(names)}")
    result = {}
    for name in names:
        values = np.asarray(found[name])
        if values.shape != (rows,) or values.dtype.kind not in "biuf":
            raise FunctionError(f"`{name}` is {values.dtype} of shape {values.shape}, not numbers of shape ({rows},)")
        result[name] = values.astype(np.float64)
    return result


def other_rows_matter(call: str, source: str, columns: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first feature whose value of a row is another one among other rows than alone; "" if none is.

    Tried with the rows together, in reverse, and one by one; compared as the float32 that the model gets.
    """
    import numpy as np

    together = called(call, source, columns, names)
    rows = len(next(iter(together.values())))
    back = called(call, source, {name: _rows(column, slice(None, None, -1)) for name, column in columns.items()}, names)
    alone = [
        called(call, source, {name: _rows(column, slice(row, row + 1)) for name, column in columns.items()}, names)
        for row in range(rows)
    ]
    for name in names:
        one = together[name].astype(np.float32)
        others = (back[name][::-1], np.concatenate([found[name] for found in alone]))
        if not all(np.array_equal(one, other.astype(np.float32), equal_nan=True) for other in others):
            return name
    return ""


def _array(column: Any) -> np.ndarray:
    import numpy as np

    if isinstance(column, Coded):
        return np.asarray(np.array([*column.distinct, None], object)[column.index])
    return np.array(column)


def _rows(column: Any, chosen: slice) -> Any:
    return Coded(column.distinct, column.index[chosen]) if isinstance(column, Coded) else column[chosen]


def _words(error: Exception, file: str) -> str:
    """What was raised, and on which line of the project's file."""
    trace, line = error.__traceback__, error.lineno if isinstance(error, SyntaxError) else None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" ({file.strip('<>')}, line {line})" if line else ""
    return f"{type(error).__name__}: {str(error)[:200]}{where}"
