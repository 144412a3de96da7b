"""reproduce: a release is made again from its record alone, in a clean folder, and compared with what it was.

Reads the ledger, the store, git and the DVC remote; appends `reproduced` or `not reproduced` to the ledger.
"""

from __future__ import annotations

from flows.lifecycle import flow
from penstock import ledger
from penstock.errors import ReproductionError
from penstock.refs import Value
from tasks.data.project import config_path
from tasks.packaging.reproducing import Rebuilt, rebuild
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged, tell
from tasks.store.caching import scope

SHOWN = 20  # differences in a section


class Reproduced(Value):
    """A release and how it came out the second time."""

    project: str
    version: str
    commit: str
    dataset: str
    engine: str
    rebuilt: Rebuilt

    def __str__(self) -> str:
        found = self.rebuilt
        lines = [f"{self.version}: {'REPRODUCED' if found.proved else 'NOT REPRODUCED'}"]
        lines.append(f"  from:        commit {self.commit[:12]}, data {self.dataset[:12]}")
        lines.append(f"  environment: {found.environment}")
        lines.append(f"  trained by:  {self.engine}")
        lines.append(f"  model:       {'the same bytes' if found.same_model else 'other bytes'}")
        lines.append(f"  metrics:     {'the same' if not found.metrics else f'{len(found.metrics)} differ'}")
        if found.files is None:
            lines.append(f"  Bento:       not built, the gates refused it: {'; '.join(found.refused)}")
        else:
            lines.append(f"  Bento:       {'the same files' if not found.files else ', '.join(found.files[:SHOWN])}")
        if found.inputs or not found.proved:
            lines.append("  inputs:      " + ("these differ" if found.inputs else "the same"))
        lines += [f"    {change}" for change in (*found.inputs[:SHOWN], *found.metrics[:SHOWN])]
        return "\n".join(lines)


@flow
def reproduce(config: str, version: str = "", here: bool = False) -> Reproduced:
    """Make a release again and compare it, byte for byte.

    ``config``: a project's name or its YAML's path. ``version``: left out, the release that serves, or the newest.
    ``here``: in this environment, even if it is not the recorded one. Differences are in what is returned; use
    `require_proved` to make an error of them.
    """
    project = config_path(config).stem
    scope.set(project)
    serves = ledger.serving(read_ledger(project))
    release = packaged(project, version or (serves.version if serves else ""))
    rebuilt = rebuild(release, install=not here)
    lineage = release.candidate.lineage
    found = Reproduced(
        project=project,
        version=release.version,
        commit=lineage.git_commit,
        dataset=lineage.dataset,
        engine=lineage.trained_by,
        rebuilt=rebuilt,
    )
    facts = {
        "model": "same" if rebuilt.same_model else "differs",
        "metrics": ", ".join(change.key for change in rebuilt.metrics[:SHOWN]) or "same",
        "bento": "not built" if rebuilt.files is None else ", ".join(rebuilt.files[:SHOWN]) or "same",
        "inputs": ", ".join(change.key for change in rebuilt.inputs[:SHOWN]) or "same",
        "environment": rebuilt.environment,
    }
    tell(project, "reproduced" if rebuilt.proved else "not reproduced", release.version, str(rebuilt), **facts)
    return found


def require_proved(found: Reproduced) -> None:
    """Raise ReproductionError, naming what differs, unless everything came out the same."""
    if not found.rebuilt.proved:
        inputs = found.rebuilt.inputs
        raise ReproductionError(
            f"`{found.version}` did not come out the same.",
            found="inputs that differ: " + ", ".join(change.key for change in inputs[:SHOWN])
            if inputs
            else "every recorded input is the same",
            next_step=f"penstock compare {found.project} ... shows two releases side by side"
            if inputs
            else "look for what depends on time, order or the machine",
        )
