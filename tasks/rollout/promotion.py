"""Whether a release may come into this environment from the one before it, as `PENSTOCK_PROMOTE_FROM` says."""

from __future__ import annotations

from penstock import ledger, promotion
from penstock.errors import ConfigError
from tasks.machine.environments import DEVELOPMENT
from tasks.machine.settings import settings
from tasks.packaging.model_server import unpacked
from tasks.registry import ledger_store
from tasks.registry.releases import Packaged


def require_promotable(release: Packaged, image: str = "") -> None:
    """Raise RolloutError unless the environment before this one found the release healthy, and served these bytes.

    ``image``: the digest of the container image that is to serve here, if one is.
    Raises StorageError or PackagingError if the files that are about to serve are not those of the package.
    """
    source = settings().promote_from
    if not source:
        return
    if source == (settings().env or DEVELOPMENT):
        raise ConfigError("An environment cannot promote from itself.", where="PENSTOCK_PROMOTE_FROM", found=source)
    name = release.candidate.lineage.project
    place = "" if source == DEVELOPMENT else source
    events = ledger.seen_in(ledger_store.read_all(name), place)
    promotion.require_promotable(events, source, release.version, promotion.served(release.package, image))
    unpacked(release.package)  # reads every file of it, and compares
