"""Names of columns that every tool of the chain takes: letters, digits and `_`. Those that are so already stay."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

GOOD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
TAKEN = ("why", "__row__", "request_id", "row")  # Penstock's own columns beside those of a table


def clean_names(names: Iterable[str]) -> dict[str, str]:
    """``{name there: name here}`` for every name; no two of the latter are equal.

    `Größe (m²)` becomes `grosse_m2`. A name that would stand twice gets a number.
    """
    there = list(names)
    found = {name: name for name in there if GOOD.fullmatch(name) and name not in TAKEN}
    used = set(found.values()) | set(TAKEN)
    for position, name in enumerate(there, 1):
        if name in found:
            continue
        base = _plain(name) or f"column_{position}"
        unique, copy = base, 1
        while unique in used:
            copy += 1
            unique = f"{base}_{copy}"
        used.add(unique)
        found[name] = unique
    return {name: found[name] for name in there}


def _plain(name: str) -> str:
    text = name.casefold()  # ß is ss
    for sign, word in (("%", " percent "), ("#", " number "), ("&", " and ")):
        text = text.replace(sign, word)
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "_", ascii_only).strip("_")[:56].strip("_")
    return f"c_{plain}" if plain[:1].isdigit() else plain
