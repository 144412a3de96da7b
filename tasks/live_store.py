"""The quality of what was served, as monitoring last measured it: `<home>/monitor/<project>/live.json`.

For those who show it. Who decides by it measures anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from penstock.errors import StorageError
from penstock.live_metrics import WindowScore
from tasks import store
from tasks.settings import settings

SCORES = TypeAdapter(tuple[WindowScore, ...])


def keep(project: str, scores: Sequence[WindowScore]) -> None:
    """Replace what was measured before. Raises StorageError if it cannot be written."""
    path, content = file(project), SCORES.dump_json(tuple(scores), indent=1)
    with store.readable_errors(path):
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            store.write_atomic(path, content)


def read(project: str) -> tuple[WindowScore, ...]:
    """The scores of `penstock.live_metrics.score_windows`; none before the first. Raises StorageError if damaged."""
    path = file(project)
    try:
        return SCORES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise StorageError(
            "The quality that was measured last cannot be read.",
            where=str(path),
            found=str(error).splitlines()[0],
            next_step="remove the file: the next `penstock monitor` writes it anew",
        ) from None


def file(project: str) -> Path:
    return settings().home / "monitor" / project / "live.json"
