"""score: rows in a file, a release's predictions out, in a file of their own; monitoring counts them like traffic.

Reads the input once, streamed; writes the output, beside it the rows that were refused, a segment of the prediction
log, and a line in the ledger. Trains and deploys nothing.
"""

from __future__ import annotations

from flows.lifecycle import flow
from penstock.scored import OnInvalid, Request, Scored
from tasks.data.project import load_project
from tasks.scoring.batch_input import absolute
from tasks.scoring.batch_scoring import score_rows
from tasks.store.caching import scope


@flow
def score(
    config: str,
    source: str,
    output: str,
    version: str = "",
    keys: tuple[str, ...] = (),
    on_invalid: OnInvalid = "",
    force: bool = False,
    quarantined: bool = False,
    log: bool = True,
) -> Scored:
    """Score ``source`` (.parquet, .csv, a folder or pattern, `data`, `dataset:VERSION`) into ``output``.

    ``config``: a project's name or its YAML's path; other paths are relative to the checkout. ``version``: left out,
    what serves, or else the newest release. The rest is described in `penstock.scored.Request`.
    """
    project = load_project(config)
    scope.set(project.name)
    request = Request(
        source=absolute(source),
        output=absolute(output),
        version=version,
        columns=tuple(keys),
        on_invalid=on_invalid,
        force=force,
        quarantined=quarantined,
        log=log,
    )
    return score_rows(project, request)
