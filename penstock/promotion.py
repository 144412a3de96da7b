"""Promotion from one environment to the next: only what was healthy there, and only those very bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock import ledger
from penstock.errors import RolloutError
from penstock.ledger import Event
from penstock.refs import Package


def served(package: Package, image: str = "") -> dict[str, str]:
    """What the ledger keeps of the package that served: its files by hash, the archive that they came in, its image."""
    return {"digest": package.digest, "bento": package.bento.sha256} | ({"image": image} if image else {})


def require_promotable(events: Sequence[Event], source: str, version: str, here: Mapping[str, str]) -> None:
    """Raise RolloutError unless ``version`` was healthy in ``source`` and what served there is what is ``here``.

    ``events``: those of ``source``, oldest first. The last time counts that it was found healthy there. ``here``: as
    `served` says it; its image is compared if ``source`` served from one too.
    """
    project = events[0].project if events else version.rpartition("-v")[0]
    barred = ledger.quarantined(events)
    fit = {one.version: one for one in events if one.kind == "healthy" and one.version not in barred}
    allowed = f"healthy in {source}: {', '.join(fit) or 'none yet'}"
    healthy = fit.get(version) if ledger.is_healthy(events, version) else None
    if healthy is None:
        raise RolloutError(
            f"`{version}` cannot be promoted: it was not found healthy in {source}.",
            where="PENSTOCK_PROMOTE_FROM, in this environment's profile",
            found=f"in quarantine there: {barred[version]}" if version in barred else _last(events, version, source),
            allowed=allowed,
            next_step=f"penstock deploy {project} {version} --env {source}; or deploy one that was healthy there",
        )
    known = {name: healthy.facts.get(name, "") for name in here if name != "image" or name in healthy.facts}
    other = next((name for name in known if known[name] != here[name]), "")
    if other:
        raise RolloutError(
            f"`{version}` is not what {source} served under this name.",
            found=f"{other} {_short(here[other])} here, {_short(known[other]) or 'none recorded'} there",
            allowed=f"the very bytes that {source} served",
            next_step=f"penstock deploy {project} {version} --env {source}, so that it serves these first",
        )


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _last(events: Sequence[Event], version: str, source: str) -> str:
    last = next((one for one in reversed(events) if one.version == version and one.kind in ledger.ROLLOUT), None)
    return f"the last of it there: {last.kind}, {last.reason}" if last else f"it was never deployed in {source}"
