"""Doctor's checks of what is written down: configs, ledgers, windows, the secrets that configs name, and the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from penstock.diagnosis import Finding, fail, failed_by, ok, shortened, warn
from penstock.errors import PenstockError
from tasks.data.project import load_project, project_names
from tasks.machine.settings import settings
from tasks.monitoring.collected_store import newest_windows
from tasks.monitoring.label_store import read_entries
from tasks.operations.doctor_http import services
from tasks.registry import ledger_store
from tasks.serving import serving
from tasks.serving.release_server import LOG_KEY

SKEW = 5.0  # seconds: more, and tokens, certificates and signatures begin to be refused
FAR = 60.0


def configs() -> Iterator[Finding]:
    """Every project's YAML and schema, read as a run reads them."""
    names, good = project_names(), []
    for name in names:
        try:
            load_project(name)
            good.append(name)
        except PenstockError as error:
            yield failed_by("configs", error)
        except (OSError, UnicodeDecodeError) as error:
            yield fail("configs", f"{settings().root}/configs/{name}.yaml: {error}", "mend or remove the file")
    if good or not names:
        yield ok("configs", f"{shortened(good, 6)}: well formed" if good else "no project yet")


def ledgers() -> Iterator[Finding]:
    """Every ledger, every window and every batch of labels, read whole; and the file that says what serves."""
    broken, events, names = 0, 0, sorted(path.name for path in settings().ledger.glob("*") if path.is_dir())
    for name in names:
        for read in (ledger_store.read_all, lambda name: list(newest_windows(name)), read_entries):
            try:
                found = read(name)
            except PenstockError as error:
                broken += 1
                yield failed_by("ledgers", error)
                continue
            events += len(found) if read is ledger_store.read_all else 0
    try:
        serving.read()
    except PenstockError as error:
        broken += 1
        yield failed_by("ledgers", error)
    if not broken:
        yield ok(
            "ledgers", f"{shortened(names, 6)}: {events} events, none missing" if names else "nothing has happened yet"
        )


def secrets() -> Iterator[Finding]:
    """Variables that projects name and that are not set. Their values are never shown."""
    lacking, named = 0, 0
    for project_name in project_names():
        try:
            project = load_project(project_name)
        except (PenstockError, OSError, UnicodeDecodeError):
            continue  # the check of configs says what is wrong with it
        wanted = dict.fromkeys(_named(project.model_dump(mode="json")), "set it, or correct the key that names it")
        if project.serve.log.enabled and project.serve.log.hash:
            wanted[LOG_KEY] = "put a secret into it, or drop the fields: `serve.log.drop`"
        named += len(wanted)
        for name, mend in wanted.items():
            if not os.environ.get(name):
                lacking += 1
                yield warn("secrets", f"{project_name} reads {name}, and it is not set", mend)
    if not lacking:
        yield ok("secrets", f"{named} named by projects, all set" if named else "projects name none")


def _named(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key.endswith("_env") and isinstance(value, str):
                yield value
            else:
                yield from _named(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _named(value)


def clock_skew() -> Iterator[Finding]:
    """This machine's clock beside the `Date` of the services it is configured to use, and beside what it wrote last."""
    before = time.time() - time.monotonic()
    wrong = asked = 0
    for name, address in services().items():
        sent = time.time()
        date = address.get("/health").date
        if not date:
            continue
        asked += 1
        # a `Date` has whole seconds, and was written somewhere between question and answer
        theirs = parsedate_to_datetime(date).timestamp() + 0.5
        off = (sent + time.time()) / 2 - theirs
        if abs(off) > SKEW:
            wrong += 1
            say = fail if abs(off) > FAR else warn
            side = "ahead of" if off > 0 else "behind"
            yield say(
                "clock", f"{abs(off):,.0f} s {side} that of {name}", "have the clock set: timedatectl set-ntp true"
            )
    jump = time.time() - time.monotonic() - before
    if abs(jump) > 1:
        wrong += 1
        yield warn("clock", f"it was set by {jump:+.1f} s while this ran", "see what sets it: two time services?")
    newest = _newest_event()
    if newest > time.time() + SKEW:
        wrong += 1
        ahead = newest - time.time()
        yield fail(
            "clock",
            f"the ledger's newest event is {ahead:,.0f} s in the future: the clock was set back",
            "set the clock right; until then periods and tenures are told wrongly",
        )
    if not wrong:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        beside = (
            f"{asked} service{'s' * (asked != 1)} asked, within {SKEW:.0f} s" if asked else "nobody to compare with"
        )
        yield ok("clock", f"{now}; {beside}")


def _newest_event() -> float:
    """When the last event of any ledger was written, as it says itself: seconds since 1970; 0 before the first."""
    found = 0.0
    for folder in settings().ledger.glob("*"):
        try:
            events = ledger_store.read_all(folder.name)
        except PenstockError:
            continue
        if events:
            found = max(found, datetime.fromisoformat(events[-1].time).timestamp())
    return found
