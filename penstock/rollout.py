"""What a deploy is to do and what came of it, as values. `plan()` decides before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from penstock import ledger
from penstock.candidate import Forced
from penstock.desired import Route
from penstock.errors import RolloutError
from penstock.ledger import Event
from penstock.refs import Value
from penstock.verdict import Verdict

Result = Literal["serving already", "waiting for approval", "healthy", "held", "failed"]


class Plan(Value):
    """One rollout. ``champion``: who serves, or is gone back to; empty for a project's first.

    ``serves``: the release answers everything already; ``baked``: and has done so for its time.
    """

    project: str
    version: str
    champion: str
    serves: bool
    baked: bool
    id: str

    def ended(
        self,
        result: Result,
        serving: str,
        reasons: tuple[str, ...] = (),
        verdicts: Sequence[tuple[str, Verdict]] = (),
    ) -> Deployment:
        """How it ended, and who serves now."""
        return Deployment(
            project=self.project,
            version=self.version,
            result=result,
            serving=serving,
            reasons=reasons,
            verdicts=tuple(verdicts),
        )


class Deployment(Value):
    """How a deploy ended, and who serves now."""

    project: str
    version: str
    result: Result
    serving: str
    reasons: tuple[str, ...] = ()
    verdicts: tuple[tuple[str, Verdict], ...] = ()

    def __str__(self) -> str:
        words = f"{self.version}: {self.result}; {self.serving or 'nothing'} serves"
        return words + (f" ({'; '.join(self.reasons)})" if self.reasons else "")

    def error(self) -> RolloutError:
        """What a deploy that did not end with the new release serving ends with."""
        what = {
            "failed": f"`{self.version}` failed its rollout and is in quarantine.",
            "held": f"`{self.version}` could not be judged: there was not enough evidence.",
        }
        error = RolloutError(
            what.get(self.result, f"`{self.version}` does not serve."),
            found="; ".join(self.reasons),
            allowed=f"{self.serving} serves, as before" if self.serving else "",
            next_step=f"penstock deploy {self.project} {self.version}, when there is more traffic; or change `rollout:`"
            if self.result == "held"
            else f"penstock report {self.project} {self.version}; then mend the model, or change `rollout:`",
        )
        error.deployment = self
        return error


def plan(
    project: str,
    events: Sequence[Event],
    route: Route | None,
    version: str,
    rollout: str,
    ended: Mapping[str, Forced],
    force: bool = False,
) -> Plan:
    """What deploying ``version`` (or the newest release) means now. ``ended``: forced releases whose time is over.

    Raises RolloutError for one of those, whatever ``force`` says, and for one in quarantine.
    """
    if version in ended:
        raise RolloutError(
            f"`{version}` was blessed by force, and that ended with {ended[version].until}.",
            found=f"blessed {ended[version]}",
            next_step=f"train one that passes; or penstock bless {project} {version}, with a new reason and day; "
            f"or go back: penstock rollback {project}",
        )
    barred = ledger.quarantined(events)
    if version in barred and not force:
        raise RolloutError(
            f"`{version}` is in quarantine.",
            found=barred[version],
            next_step=f'penstock deploy {project} {version} --force --reason "..."',
        )
    champion = route.champion if route else ""
    serves = champion == version
    return Plan(
        project=project,
        version=version,
        champion=ledger.last_healthy(events, version, ended) if serves else champion,
        serves=serves,
        baked=ledger.is_healthy(events, version),
        id=rollout,
    )
