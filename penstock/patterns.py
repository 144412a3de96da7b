"""Regular expressions of a schema: read by polars (Rust) in training, by Python in the server, and to mean the same.

https://docs.rs/regex has the syntax of polars'.
"""

from __future__ import annotations

import re

_ESCAPED = r"\\."
_CLASS = r"\[\^?\]?(?:\\.|[^\]\\])*\]"
_UNLIKE_ESCAPES = re.compile(r"\\[wWsSbBZN0-9]")  # other tables of Unicode; back references; unknown to Rust
_UNLIKE_IN_CLASS = re.compile(r"\[|&&|--|~~")  # sets of sets, which Python takes for characters
_UNLIKE_OUTSIDE = re.compile(r"\(\?(?!:|i:|P<)|\{,|[*+?}]\+")  # look-around, flags, `{,n}`, possessive


def as_python(pattern: str) -> str:
    """``pattern`` with polars' `$`, which is the very end; Python's also matches before a last newline."""
    return re.sub(rf"({_ESCAPED}|{_CLASS})|\$", lambda found: found[1] or r"\Z", pattern, flags=re.DOTALL)


def check_pattern(pattern: str) -> None:
    """Raise ValueError unless ``pattern`` is anchored at both ends and is read alike by both."""
    parts = re.findall(rf"{_ESCAPED}|{_CLASS}", pattern, flags=re.DOTALL)
    outside = re.sub(rf"{_ESCAPED}|{_CLASS}", "x", pattern, flags=re.DOTALL)
    if not (outside.startswith("^") and outside.endswith("$")):
        raise ValueError("`str_matches` must begin with ^ and end with $: pandera itself anchors only the start")
    classes = [re.sub(_ESCAPED, "", part[1:], flags=re.DOTALL) for part in parts if part.startswith("[")]
    unlike = [found for part in parts if (found := _UNLIKE_ESCAPES.search(_without_backslashes(part)))]
    unlike += [found for body in classes if (found := _UNLIKE_IN_CLASS.search(body))]
    unlike += [found for found in [_UNLIKE_OUTSIDE.search(outside)] if found]
    if unlike:
        raise ValueError(
            f"`str_matches` uses {unlike[0][0]}, which training and the server do not read alike: "
            r"no \w, \s, \b, look-around, back references or nested classes; write the characters out, as in [A-Za-z_]"
        )
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"`str_matches` is not a regular expression: {error}") from None


def _without_backslashes(part: str) -> str:
    """``part`` without its escaped backslashes: what follows one is not escaped."""
    return re.sub(r"\\\\", "", part)
