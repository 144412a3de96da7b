"""What `penstock doctor` found: small values, and the table that a terminal shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from penstock.errors import PenstockError, UnhealthyError
from penstock.refs import Value

Level = Literal["ok", "warn", "fail"]


class Finding(Value):
    """One thing that was looked at. ``mend``: a command to run or a thing to change, one line; "" where all is well."""

    check: str
    level: Level
    found: str
    mend: str = ""


class Diagnosis(Value):
    """Every finding, in the order in which things are looked at."""

    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == "fail")

    def __str__(self) -> str:
        width = max((len(finding.check) for finding in self.findings), default=0)
        lines = []
        for finding in self.findings:
            lines.append(f"  {finding.level:<4}  {finding.check:<{width}}  {finding.found}")
            if finding.mend:
                lines.append(f"  {'':<4}  {'':<{width}}  -> {finding.mend}")
        counts = {level: sum(finding.level == level for finding in self.findings) for level in ("ok", "warn", "fail")}
        return "\n".join([*lines, "", ", ".join(f"{count} {level}" for level, count in counts.items())])


def require_healthy(diagnosis: Diagnosis) -> None:
    """Raise UnhealthyError if any check failed."""
    failed = list(dict.fromkeys(finding.check for finding in diagnosis.failed))
    if failed:
        raise UnhealthyError(
            f"{len(failed)} of the checks failed." if len(failed) > 1 else "One of the checks failed.",
            found=", ".join(failed),
            next_step="what stands behind each arrow above; then penstock doctor again",
        )


def ok(check: str, found: str) -> Finding:
    return Finding(check=check, level="ok", found=one_line(found))


def warn(check: str, found: str, mend: str) -> Finding:
    return Finding(check=check, level="warn", found=one_line(found), mend=one_line(mend))


def fail(check: str, found: str, mend: str) -> Finding:
    return Finding(check=check, level="fail", found=one_line(found), mend=one_line(mend))


def failed_by(check: str, error: PenstockError) -> Finding:
    """An error that a part of Penstock raised, as a finding: what happened, where, and its next step."""
    parts = [error.what.rstrip("."), *filter(None, (error.where, error.found))]
    return fail(check, ": ".join(parts), error.next_step or "see the message")


def shortened(names: Sequence[str], most: int = 4) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def size(count: float) -> str:
    """Bytes as people read them: 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def one_line(text: str) -> str:
    return " ".join(text.split())[:400]
