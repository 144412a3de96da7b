"""What the prediction log may keep of a row: fields that are dropped, and fields kept as a keyed hash only."""

from __future__ import annotations

import hashlib
from typing import Any

from penstock.release_config import LogConfig

DIGEST = 16  # bytes: a collision among a billion values is less likely than one in 10^20


class Privacy:
    """``keep_raw``: no field is dropped or hashed, and bodies may be kept as they came."""

    def __init__(self, config: LogConfig, key: bytes, fields: frozenset[str]) -> None:
        self._key = key
        self._hashed = frozenset(config.hash) - frozenset(config.drop)
        self._kept = fields - frozenset(config.drop)
        self.keep_raw = not (config.drop or config.hash)

    def rows(self, rows: list[Any]) -> list[dict[str, Any] | None]:
        """The rows that may be kept. Fields that the schema does not have are left out: a misspelt secret is one."""
        return [self._row(row) if isinstance(row, dict) else None for row in rows]

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self.hashed(value) if name in self._hashed else value
            for name, value in row.items()
            if name in self._kept
        }

    def hashed(self, value: Any) -> str | None:
        """Hex of the keyed BLAKE2b of a text, or of another value's JSON. A null stays null."""
        if value is None:
            return None
        import orjson

        content = value.encode() if isinstance(value, str) else orjson.dumps(value)
        return hashlib.blake2b(content, key=self._key, digest_size=DIGEST).hexdigest()
