"""What the environment tells a server process: the PENSTOCK_ variables that `bentos/launch.py` documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from penstock.release_config import LogConfig

RELEASE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
LONGEST_KEY = 64  # bytes that keyed BLAKE2b takes


@dataclass(frozen=True)
class Environment:
    """``release``: empty means the Bento's tag. ``log_dir``: None means no log. ``memory_mb``: 0 means no limit.

    ``listen``: None means the socket that was handed over.
    """

    release: str
    log_dir: Path | None
    log: LogConfig
    log_key: bytes
    api_key: bytes
    memory_mb: int
    listen: tuple[str, int] | None


def read(variables: Mapping[str, str]) -> Environment:
    """Raises ValueError, in one line that names the variable, if one of them cannot be used."""
    release = variables.get("PENSTOCK_RELEASE", "")
    if release and not RELEASE.fullmatch(release):
        raise ValueError(f"PENSTOCK_RELEASE is {release[:40]!r}; letters, digits and ._:- are allowed")
    text = variables.get("PENSTOCK_LOG", "")
    try:
        log = LogConfig.model_validate_json(text) if text else LogConfig()
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ValueError(f"PENSTOCK_LOG is not the JSON of a log section: {where}: {problem['msg']}") from None
    log_key = variables.get("PENSTOCK_LOG_KEY", "").encode()
    folder = variables.get("PENSTOCK_LOG_DIR", "")
    if log.enabled and log.hash and not log_key:
        fields = ", ".join(log.hash)
        raise ValueError(f"PENSTOCK_LOG_KEY is not set, and the prediction log is to hash {fields}; set it to a secret")
    if len(log_key) > LONGEST_KEY:
        raise ValueError(f"PENSTOCK_LOG_KEY has {len(log_key)} bytes; at most {LONGEST_KEY} are allowed")
    memory = variables.get("PENSTOCK_MEMORY_MB", "") or "0"
    if not memory.isdecimal():
        raise ValueError(f"PENSTOCK_MEMORY_MB is {memory[:40]!r}; a whole number of megabytes is allowed")
    return Environment(
        release=release,
        log_dir=Path(folder) if folder and log.enabled else None,
        log=log,
        log_key=log_key,
        api_key=variables.get("PENSTOCK_API_KEY", "").encode(),
        memory_mb=int(memory),
        listen=address(variables.get("PENSTOCK_LISTEN", "")),
    )


def address(text: str) -> tuple[str, int] | None:
    """(host, port) of `0.0.0.0:3000` or `[::]:3000`; None of nothing. Raises ValueError that names PENSTOCK_LISTEN."""
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        host = ""
    host = host.removeprefix("[").removesuffix("]")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError(f"PENSTOCK_LISTEN is {text[:40]!r}; HOST:PORT is allowed, such as 0.0.0.0:3000 or [::]:3000")
    return host, int(port)
