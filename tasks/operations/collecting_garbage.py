"""`penstock gc`: what is needed is marked from the records, the rest is swept; records first, then what they named.

A process that is killed in between leaves files that nothing names, and the next one frees them. No flow runs meanwhile
(`tasks/store/store_use.py`); servers, rollbacks and requests go on. A shared store is only looked at when that is asked
for, and then runs of this machine, too, are as others' are (`tasks/operations/shared_garbage.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock.errors import StorageError
from penstock.garbage import Account, Collection, Kept
from tasks.machine import clock
from tasks.machine.production import require_named
from tasks.machine.settings import settings
from tasks.operations import garbage_classes, garbage_mlflow, shared_garbage
from tasks.operations.garbage_classes import Item
from tasks.operations.garbage_datasets import dataset_files
from tasks.operations.garbage_images import images
from tasks.store.store import readable_errors
from tasks.store.store_use import unused


def forecast(keep: int, older_than: float, shared: float | None = None) -> Collection:
    """What would go. Changes nothing. ``older_than``: seconds. Raises StorageError if a record cannot be read.

    ``shared``: the shared store's grace period (seconds), if what it has is to be freed, too. Raises ConfigError if
    nothing is shared or that is too short.
    """
    if shared is not None:
        shared_garbage.require_shared(shared)
    found = _found(keep, older_than)
    if shared is not None:
        found += shared_garbage.forecast(_sought(keep, older_than), shared)
    return _collection(found, freed=False, shared=shared is not None)


def free(keep: int, older_than: float, shared: float | None = None) -> Collection:
    """Free it, and say what went. Raises StorageError while a flow runs, or as `forecast` does."""
    require_named("gc")
    if shared is not None:
        shared_garbage.require_shared(shared)
    with unused() as alone:
        if not alone:
            raise StorageError(
                "A run is going on, so nothing is freed: its files are named by no record yet.",
                where=str(settings().home),
                next_step="penstock status; run `penstock gc --yes` when it has ended",
            )
        found = _found(keep, older_than)
        with readable_errors(settings().home):
            for item in found:
                if not item.why and item.kind != garbage_mlflow.KIND:
                    item.remove()
            garbage_mlflow.remove([item for item in found if item.kind == garbage_mlflow.KIND and not item.why])
    if shared is not None:  # runs of this machine may begin again
        found += shared_garbage.free(_sought(keep, older_than), shared)
    return _collection(found, freed=True, shared=shared is not None)


def _sought(keep: int, older_than: float) -> garbage_classes.Sought:
    return garbage_classes.sought(keep, older_than, clock.now().timestamp())


def _found(keep: int, older_than: float) -> list[Item]:
    """Everything there is in the home, in the order in which it may go."""
    asked = _sought(keep, older_than)
    with readable_errors(settings().home):
        records = [*garbage_classes.results(asked), *garbage_classes.segments(asked)]
        going = [item for item in records if not item.why]
        files = [*garbage_classes.objects(asked, going)]
        return [
            *records,
            *files,
            *garbage_classes.drafts(asked),
            *garbage_classes.bentos(asked),
            *garbage_classes.environments(asked),
            *garbage_classes.logs(asked),
            *dataset_files(asked),
            *garbage_mlflow.runs(asked),
            *images(asked),
        ]


def _collection(items: Iterable[Item], freed: bool, shared: bool) -> Collection:
    kinds: dict[str, list[Item]] = {}
    for item in items:
        kinds.setdefault(item.kind, []).append(item)
    accounts = tuple(_account(kind, found) for kind, found in kinds.items())
    return Collection(freed=freed, accounts=accounts, shared=shared)


def _account(kind: str, items: list[Item]) -> Account:
    reasons: dict[str, list[Item]] = {}
    for item in items:
        reasons.setdefault(item.why, []).append(item)
    goes = reasons.pop("", [])
    kept = (Kept(why=why, count=len(found), size=sum(one.size for one in found)) for why, found in reasons.items())
    return Account(name=kind, count=len(goes), size=sum(item.size for item in goes), kept=tuple(kept))
