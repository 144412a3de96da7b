"""Only one machine frees objects of the shared store at a time: a lease, which ends by itself.

Leases are numbered objects, `garbage/lease/000001.json`; the greatest number holds. It is created by a conditional
write, so that of two who want it one gets it, and only when the one before was given back or has not been renewed for
`SECONDS` by the store's own clock. Its holder counts from before it asked, on a clock that goes on while the machine
sleeps, and stops `MARGIN` earlier: what it sent last has arrived, or never will, when another may begin.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator

from penstock.errors import PenstockError, StorageError
from penstock.refs import Value
from tasks.machine.author import author
from tasks.store.objects import objects

FOLDER = "garbage/lease"
SECONDS = 600.0
MARGIN = 120.0  # longer than one request may be on its way, tries included


class Holder(Value):
    """Who has it. ``sweeping``: objects go now, and whoever needs one of them waits."""

    by: str
    id: str
    sweeping: bool = False
    released: bool = False


class Lease:
    """Held by this process, until it is lost. ``number``: no other lease has it."""

    def __init__(self, number: int, sent: float) -> None:
        self.number, self._sent, self._holder = number, sent, Holder(by=author(), id=uuid.uuid4().hex)

    def content(self) -> bytes:
        return self._holder.model_dump_json().encode()

    def write(self, **facts: bool) -> None:
        """Say something else in it, which renews it. Raises StorageError if it is lost."""
        sent = elapsed()
        self._require(sent)
        self._holder = self._holder.model_copy(update=facts)
        objects().write(_name(self.number), self.content())
        self._require(elapsed())
        self._sent = sent

    def require(self) -> None:
        """Renew it if half of its time is over. Raises StorageError if it is lost."""
        now = elapsed()
        self._require(now)
        if now - self._sent > (SECONDS - MARGIN) / 2:
            self.write()

    def _require(self, now: float) -> None:
        if now - self._sent > SECONDS - MARGIN:
            raise StorageError(
                "The shared store was away for too long while it was being collected; what is left stays.",
                where=objects().where,
                found=f"no answer for {now - self._sent:.0f} s, and another may collect now",
                next_step="penstock gc --shared --yes goes on with it",
            )


@contextlib.contextmanager
def held() -> Iterator[Lease]:
    """Hold the lease while the block runs. Raises StorageError if another process does."""
    sent, now, before = elapsed(), store_time(), _newest()
    if before and not _ended(before, now):
        raise _busy(before[2])
    mine = Lease(before[0] + 1 if before else 1, sent)
    try:
        objects().create(_name(mine.number), mine.content())
    except FileExistsError:
        if objects().read(_name(mine.number)) != mine.content():  # else it is ours, and the answer got lost
            raise _busy(None) from None
    numbers = [int(name[:6]) for name in objects().names(FOLDER)]
    if numbers[-1] != mine.number:  # we were asleep, and our number was given and taken away meanwhile
        objects().delete(_name(mine.number))
        raise _busy(None)
    for number in numbers[:-1]:
        objects().delete(_name(number))
    try:
        yield mine
    finally:
        with contextlib.suppress(PenstockError):
            mine.write(sweeping=False, released=True)


def sweeper() -> str:
    """Who frees objects of the store right now, or ""."""
    now, newest = store_time(), _newest()  # in this order: a lease that is renewed meanwhile is not thought to be over
    return newest[2].by if newest and newest[2].sweeping and not _ended(newest, now) else ""


def store_time() -> float:
    """What time it was by the store's own clock, a moment ago: seconds since 1970."""
    objects().write("garbage/clock", b"")
    return objects().modified("garbage/clock")


def elapsed() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_REALTIME))


def _newest() -> tuple[int, float, Holder] | None:
    """The greatest number, when it was renewed last, and who has it."""
    while entries := objects().entries(FOLDER):
        last = entries[-1]
        with contextlib.suppress(FileNotFoundError):  # a greater one has taken its place meanwhile
            holder = Holder.model_validate_json(objects().read(last.name))
            return int(last.name.rpartition("/")[2][:6]), last.modified, holder
    return None


def _ended(lease: tuple[int, float, Holder], now: float) -> bool:
    return lease[2].released or now - lease[1] > SECONDS


def _busy(holder: Holder | None) -> StorageError:
    return StorageError(
        "Another process is collecting the garbage of the shared store.",
        where=objects().where,
        found=holder.by if holder else "it was faster",
        next_step=f"wait for it to end; one that was killed is waited for {SECONDS / 60:.0f} minutes",
    )


def _name(number: int) -> str:
    return f"{FOLDER}/{number:06}.json"
