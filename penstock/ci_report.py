"""The report of a change, as JSON holds it and as Markdown shows it on a pull request. Pure.

Whatever comes from data or config (a slice's value, a column's name) stands in a code span: it can neither mention
anybody nor be read as Markdown or HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from penstock.ci_found import Beside, ChecksFound, DataFound, Failed, GateFound, MetricFound, Step, TrainFound
from penstock.comparison import MetricChange
from penstock.refs import Value

MARKER = "<!-- penstock-report -->"  # the first line, by which the report is found again to be written anew
LONGEST = 60_000  # characters that a comment may have, with some to spare
FEW = 20  # of rows in a table on the pull request; the HTML has all


class CiReport(Value):
    """What the stages found for ``commit``; ``missing``: stages that found nothing of it.

    ``url``: of the CI run, whose artifacts have the plots.
    """

    commit: str
    base: str = ""
    url: str = ""
    checks: ChecksFound | None = None
    data: tuple[DataFound, ...] = ()
    train: tuple[TrainFound, ...] = ()
    failed: tuple[Failed, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every stage was there and every one ended well."""
        well = all(one.passed for one in self.train) and (self.checks is None or self.checks.passed)
        return well and not self.failed and not self.missing

    @property
    def projects(self) -> list[str]:
        named = [*(one.project for one in self.data), *(one.project for one in self.train)]
        return sorted({*named, *(one.project for one in self.failed)})


def markdown(report: CiReport) -> str:
    """At most `LONGEST` characters: what does not fit is in the artifact."""
    mark = "✓" if report.passed else "✗"
    lines = [MARKER, f"## {mark} Penstock, {report.commit[:8]}" + (f" beside {report.base[:8]}" if report.base else "")]
    if report.missing:
        lines += ["", f"**Nothing was found by: {', '.join(report.missing)}.** See the log of the stage."]
    for failed in report.failed:
        lines += ["", f"**{code(failed.project)}: {_plain(failed.what)}**", f"Next: {code(failed.next_step)}"]
    if report.checks:
        lines += ["", *_checks(report.checks)]
    for name in report.projects:
        lines += ["", f"### {name}"]
        for trained in [one for one in report.train if one.project == name]:
            lines += ["", *_trained(trained)]
        for data in [one for one in report.data if one.project == name]:
            lines += ["", *_data(data)]
        for trained in [one for one in report.train if one.project == name]:
            lines += ["", *_folded("Why steps ran", _steps(trained.steps))]
    where = f"[the artifact of this run]({report.url})" if report.url else "`.penstock/ci/`"
    lines += ["", f"Plots and whole tables: `report.html` in {where}."]
    text = "\n".join(lines) + "\n"
    return text if len(text) <= LONGEST else text[:LONGEST] + f"\n\n... the rest is in {where}.\n"


def code(text: str) -> str:
    """``text`` in a code span that it cannot leave, in one line, without what ends a table's cell."""
    inside = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{inside}`" if inside else ""


def _trained(found: TrainFound) -> Iterator[str]:
    failed = [gate for gate in found.gates if not gate.passed]
    state = "✓ passed" if found.passed else "✗ FAILED"
    yield f"**Gates {state}**: {len(found.gates) - len(failed)} of {len(found.gates)} checks."
    yield (
        f"A candidate of {found.sample:.0%} of the training rows (seed {found.seed}): {found.rows[0]:,} rows, judged "
        f"on {found.rows[2]:,} test rows. It is no release."
    )
    if not found.base:
        yield f"There is no base beside it: {_plain(found.why_no_base)}."
    if found.why_no_champion:
        yield f"No champion is beside it: {_plain(found.why_no_champion)}."
    if failed:
        yield ""
        yield from _gates(failed)
    yield ""
    yield from _metrics(found)
    if found.config:
        yield ""
        yield from _table(
            ["config", "base", "this change"],
            ([code(c.key), code(c.before), code(c.after)] for c in found.config[:FEW]),
        )
    if found.slices:
        yield ""
        rows = ([code(one.name), number(one.before), number(one.after), _moved(one)] for one in found.slices[:FEW])
        yield from _table(["slices that moved most", "base", "this change", "difference"], rows)
    yield ""
    yield from _folded("Every check of the gates", _gates(found.gates))


def _metrics(found: TrainFound) -> Iterator[str]:
    head = ["metric", "this change"]
    head += [f"{found.base}", "difference"] if found.base else []
    head += [f"{found.champion} (all rows)", "difference"] if found.champion else []
    yield from _table(head, (_metric(one, found) for one in found.metrics))
    yield ""
    yield "Intervals are 95 %, from a paired bootstrap of the same test rows; without a word, they hold zero."


def _metric(one: MetricFound, found: TrainFound) -> list[str]:
    cells = [one.name, number(one.value) + _interval(one.low, one.high)]
    for there, other in ((found.base, one.base), (found.champion, one.champion)):
        if there:
            cells += [number(other.value), _change(other)] if other else ["–", "–"]
    return cells


def _change(other: Beside) -> str:
    if other.change is None:
        return "–"
    word = f" **{other.verdict}**" if other.verdict else ""
    return f"{rounded(other.change):+.4f}{_interval(other.low, other.high)}{word}"


def _moved(one: MetricChange) -> str:
    return "–" if one.before is None or one.after is None else f"{rounded(one.after - one.before):+.4f}"


def _gates(gates: Iterable[GateFound]) -> Iterator[str]:
    rows = (
        [code(g.name), number(g.value), number(g.beside), code(g.lost), code(g.bound), "✓" if g.passed else "✗"]
        for g in gates
    )
    yield from _table(["check", "value", "base", "loss", "must be", ""], rows)


def _data(found: DataFound) -> Iterator[str]:
    yield (
        f"**Data** {found.version[:8]}: {found.batches} files, {found.rows:,} rows, {found.invalid:,} invalid; split "
        f"into {found.splits[0]:,}, {found.splits[1]:,} and {found.splits[2]:,}."
    )
    if found.base_version:
        same = found.base_version == found.version
        yield "The base pins the same version." if same else f"The base pins {found.base_version[:8]}."
    if found.files:
        yield ""
        rows = ([code(one.key), code(one.before), code(one.after)] for one in found.files[:FEW])
        yield from _table(["file", "base", "this change"], rows)
    if found.schema_columns:
        yield ""
        rows = ([code(one.key), code(one.before), code(one.after)] for one in found.schema_columns[:FEW])
        yield from _table(["schema", "base", "this change"], rows)
    yield ""
    if not found.against:
        yield "Drift: there are no other training data to look from."
    elif found.moved:
        yield f"**Drift** from the training data of {found.against}:"
        yield ""
        yield from _table(
            ["column", "kind", "why"], ([code(one.column), one.kind, code(one.reason)] for one in found.moved[:FEW])
        )
    else:
        yield f"Drift from the training data of {found.against}: {found.drift}."


def _checks(found: ChecksFound) -> Iterator[str]:
    said = [f"{'✓' if check.passed else '✗'} {code(check.command)} {check.seconds:.0f} s" for check in found.own]
    said += [f"✗ {code(f'configs/{one.project}.yaml')}" for one in found.projects if one.problem]
    right = [one.project for one in found.projects if not one.problem]
    said += [f"✓ configs of {', '.join(code(name) for name in right)}"] if right else []
    yield "Checks: " + ", ".join(said)


def _steps(steps: Sequence[Step]) -> Iterator[str]:
    rows = ([step.name, "ran" if step.ran else "kept", code(step.why)] for step in steps)
    yield from _table(["step", "", "why"], rows)


def _folded(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"<details><summary>{title}</summary>"
    yield ""
    yield from lines
    yield ""
    yield "</details>"


def _table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def number(value: float | None) -> str:
    """Four digits after the point; a count is whole."""
    return (
        "–" if value is None else f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 2 else f"{value:.4f}"
    )


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{rounded(low):.4f}, {rounded(high):.4f}]"


def _plain(text: str) -> str:
    """Our own words, in which a name may stand."""
    return " ".join(text.split()).replace("<", "&lt;").replace("@", "&#64;")


def rounded(value: float) -> float:
    """To the four digits that are shown, with no minus before a zero."""
    return round(value, 4) + 0.0
