"""compare, explain-gate: two candidates side by side, and why one passed or failed. Read the record only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock.comparison import Comparison, facts
from penstock.errors import ConfigError
from penstock.gate import Decision
from penstock.gate_checks import Check
from penstock.ledger import moment
from penstock.refs import Value
from tasks.data.project import config_path
from tasks.registry import comparing
from tasks.reports.compare_page import write_comparison_page
from tasks.reports.gate_page import write_gate_page


class GateExplained(Value):
    """A candidate's decision. ``name``: its version, or `rejected-<number>`; ``against``: whom it was compared with.

    ``forced``: how its forced blessing stands now, or ""; ``environment``: where it was judged, "" is development.
    """

    project: str
    name: str
    made: str
    against: str
    decision: Decision
    forced: str
    environment: str = ""

    def __str__(self) -> str:
        failed = [check for check in self.decision.checks if not check.passed]
        passed = [check for check in self.decision.checks if check.passed]
        place = f" in {self.environment}" if self.environment else ""
        lines = [f"{self.project}, {self.name}, {moment(self.made)}{place}: {self.decision}"]
        lines.append(f"  compared with {self.against}" if self.against else "  there was no champion to compare with")
        lines += [f"  FORCED: {self.forced}"] if self.forced else []
        lines += _table([("  FAILED", *_cells(check)) for check in failed])
        lines += _table([("  passed", *_cells(check)) for check in passed])
        return "\n".join(lines)


def explain_gate(config: str, name: str = "") -> GateExplained:
    """Every check of a candidate's gates. ``name``: a version or `rejected-<number>`; left out, the last one judged."""
    project = config_path(config).stem
    event = comparing.judged_event(project, name)
    candidate = comparing.candidate_of(event)
    return GateExplained(
        project=project,
        name=comparing.candidate_name(event),
        made=event.time,
        against=str(candidate.champion or ""),
        decision=candidate.decision,
        forced=comparing.forced_standing(event),
        environment=event.environment,
    )


def compare(config: str, before: str, after: str) -> Comparison:
    """Two candidates of a project: versions, or `rejected-<number>`. Raises DataError if one is not there."""
    if before == after:
        raise ConfigError(
            "A candidate is compared with another one.", where="the command line", found=f"{before} twice"
        )
    return comparing.compare(config_path(config).stem, before, after)


def gate_page(found: GateExplained, target: Path | None = None) -> Path:
    """The same as a page: at ``target``, or where reports are kept."""
    return write_gate_page(found.project, found.name, target)


def compare_page(config: str, found: Comparison, target: Path | None = None) -> Path:
    """A comparison as a page: at ``target``, or where reports are kept."""
    return write_comparison_page(config_path(config).stem, found, target)


def as_text(found: Comparison) -> str:
    """The comparison for people."""
    lines = [f"{found.before.name} -> {found.after.name}"]
    rows = [("", found.before.name, found.after.name), *facts(found.before, found.after)]
    lines += _table([(f"  {name}", *values) for name, *values in rows])
    lines += _section("config", found.config, "the same")
    lines += _section("schema", found.schema_columns, "the same")
    lines += _section("code", found.code, "the same")
    lines += _section("libraries", found.libraries, "the same")
    rows_said = "the same test rows" if found.same_test_rows else "each on its own test rows"
    lines += _section(f"metrics, {rows_said}", found.metrics, "none")
    if found.gated:
        lines += _section(f"what the gates asked beside {found.before.name}", found.gated, "nothing")
    lines += _section("slices that differ most", found.slices, "none")
    lines += _section("features' share of the gain", found.importance, "moved by less than 1 %")
    return "\n".join(lines)


def _section(title: str, found: Sequence[object], nothing: str) -> list[str]:
    return ["", f"{title}:" + ("" if found else f" {nothing}"), *(f"  {one}" for one in found)]


def _cells(check: Check) -> tuple[str, str, str, str, str]:
    value = "nothing" if check.value is None else f"{check.value:.6g}"
    beside = "" if check.baseline is None else f"champion {check.baseline:.6g}"
    return check.name, value, beside, check.lost, f"must be {check.bound}" + (f" ({check.note})" if check.note else "")


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns that are empty in every row are left out."""
    if not rows:
        return []
    kept = [at for at in range(len(rows[0])) if any(row[at] for row in rows)]
    widths = [max(len(row[at]) for row in rows) for at in kept[:-1]]
    return [
        "  ".join([*(row[at].ljust(width) for at, width in zip(kept, widths, strict=False)), row[kept[-1]]])
        for row in rows
    ]
