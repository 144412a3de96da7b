"""Times as microseconds since 1970, in UTC where they say a zone: whichever way they come, one moment is one number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

EPOCH = datetime(1970, 1, 1)
SECOND = 1_000_000
DAY = 86_400 * SECOND
MISSING = -(2**63)  # of datetime64: NaT
FIRST, LAST = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND - 1  # of the years 1 to 9999, which texts can say
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def microseconds(text: str) -> int:
    """Of an ISO 8601 text, a date alone being its midnight. Raises ValueError. What is finer is cut off."""
    try:
        moment = datetime.fromisoformat(text)
        offset = moment.utcoffset()
        if offset is not None:
            moment = moment.replace(tzinfo=None)
            moment = moment - offset if offset else moment
    except OverflowError:
        raise ValueError("outside of the years 1 to 9999") from None
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def moments(found: Sequence[int | float | None]) -> np.ndarray:
    """datetime64[us] of microseconds."""
    import numpy as np

    return np.array([MISSING if one is None else one for one in found], np.int64).view("datetime64[us]")


def moments_of_unit(counts: np.ndarray, unit: str, missing: np.ndarray) -> np.ndarray:
    """datetime64[us] of whole ``unit``s since 1970 (int64), rounded down; a time that no text can say is missing."""
    import numpy as np

    per = PER_SECOND[unit]
    low, high = (FIRST // SECOND) * per, (LAST // SECOND + 1) * per - 1
    gone = missing | (counts < low) | (counts > high)
    counts = np.where(gone, 0, counts)
    found = counts * (SECOND // per) if per <= SECOND else counts // (per // SECOND)
    return np.where(gone, MISSING, found).astype(np.int64).view("datetime64[us]")
