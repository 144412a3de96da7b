"""The commands in what people read: each names the environment in which it is to be typed. Pure.

Whoever writes an error or a report writes `penstock deploy flights`; where it is shown, this makes of it
`penstock deploy --env staging flights`.
"""

from __future__ import annotations

import re

VERBS = (
    "new", "run", "plan", "ingest", "train", "serve", "status", "report", "schema", "up", "down", "deploy", "rollback",
    "approve", "reject", "history", "drill", "bless", "image", "release", "monitor", "simulate", "resume", "label",
    "score", "compare", "explain-gate", "reproduce", "ci", "deploy-flows", "doctor", "gc",
)  # fmt: skip
_VERBS = "|".join(sorted(VERBS, key=len, reverse=True))
# up to where a command that has the option already would have it
COMMAND = re.compile(rf"\bpenstock (?P<verb>{_VERBS})(?![\w-])(?P<rest>(?:(?!\bpenstock\b)[^;`\n])*)")


def named(text: str, environment: str) -> str:
    """``text`` with `--env ENVIRONMENT` in every command that has none; as it is for "" (development)."""
    if not environment:
        return text
    return COMMAND.sub(lambda found: _with_option(found, environment), text)


def _with_option(found: re.Match[str], environment: str) -> str:
    if re.search(r"(^|\s)--env[ =]", found["rest"]):
        return found[0]
    return f"penstock {found['verb']} --env {environment}{found['rest']}"
