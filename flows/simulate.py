"""simulate: later months are played as if they came now, and the loop of monitoring, training and release goes round.

The sandbox has a checkout, home, ports, ledger and clock of its own; gates, limits and margins are the project's.
Rows go through a real gateway to real servers, labels follow later, and what monitoring asks for is done.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.deploy import deploy
from flows.ingest import ingest
from flows.label import label
from flows.monitor import monitor
from flows.terminal import readable_errors
from flows.timeline import Live, Simulated, Timeline
from flows.train import train
from penstock import ledger
from penstock.errors import ConfigError, PenstockError, Rejected, RolloutError
from penstock.retrain import Decision
from penstock.simulation import Play, Scenario
from tasks.data import simulated_source
from tasks.data.project import load_project
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.monitoring.collected_store import read_windows
from tasks.monitoring.served_store import read_served
from tasks.operations import sandbox
from tasks.operations.clients import Clients
from tasks.operations.simulation import add_cut, months, overall, plan_play, play_from_now, take_over, write_config
from tasks.registry.registry import read_ledger

DELAY = timedelta(days=2)  # labels come so long after their rows
LEDGER = "PENSTOCK_SIMULATION_LEDGER"


def simulate(
    config: str, scenario: Scenario = "months", until: str = "", share: float = 1.0, keep: bool = False
) -> Simulated:
    """Play the batches after `data.until`, up to ``until`` or the last, in a process of its own.

    ``scenario``: `months` as they were, or `concept`, with planted labels. ``share``: of the rows that come. ``keep``:
    the sandbox's folder stays. Raises ConfigError if there is nothing to play, or not for this task; PlatformError if
    the sandbox breaks off.
    """
    project = load_project(config)
    if project.train.task != "binary":
        raise ConfigError(
            "A simulation plays labels that are true or false.",
            where=f"configs/{project.name}.yaml, key train.task",
            found=project.train.task,
            allowed="binary",
        )
    play = plan_play(project, scenario, until, share)
    with sandbox.folder("simulate", keep) as scratch:
        root, home = scratch / "checkout", scratch / "checkout" / ".penstock"
        sandbox.link_checkout(root)
        sandbox.link_home(home)
        write_config(project, play, root)
        (root / simulated_source.FILE).write_text(play.model_dump_json(indent=1), encoding="utf-8")
        ours = str(settings().ledger / project.name)
        said = sandbox.run("flows.simulate", [project.name, scenario], root, home, **{LEDGER: ours})
        found = Simulated.model_validate_json(said.splitlines()[-1])
        return found.model_copy(update={"kept": str(root) if keep else ""})


def sandboxed(name: str, scenario: Scenario) -> Simulated:
    """The simulation itself, in the sandbox: this process's checkout and home."""
    play = simulated_source.read_play()
    first: datetime = simulated_source.live_rows(play)[play.time][0]
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    with clock.simulated(settings().home / "clock", start) as time:
        timeline = Timeline(name, load_project(name).live_metric)
        try:
            _begin(name, play, timeline)
            clients = Clients(load_project(name), play, time)
            _go_round(name, clients, timeline)
            return _found(name, scenario, clients, timeline)
        finally:
            sandbox.down()


def _begin(name: str, play: Play, timeline: Timeline) -> None:
    """What serves when the play begins: a release of the user's if it is of the same data and config, or a new one."""
    rows = f", {play.share:.0%} of the rows" if play.share < 1 else ""
    timeline.tell("play", f"{play.live[0]} .. {play.live[-1]}{rows}; a label comes {DELAY.days} days after its row")
    timeline.tell("sandbox", "gates, limits and margins are the project's; retraining is on, clients are the traffic")
    if play.since:
        rule = f"from {play.since} on, labels follow {play.mirrored} the other way round"
        timeline.tell("planted", f"{rule}; the first model knows {play.history[0]} .. {play.trained_until}")
    ingest.fn(name, until=play.trained_until)
    version = take_over(load_project(name), Path(os.environ[LEDGER])) or _ended(train.fn(name)).release.version
    timeline.news()
    _ended(deploy.fn(name, version))
    timeline.news()
    play_from_now(name)


def _go_round(name: str, clients: Clients, timeline: Timeline) -> None:
    """Window by window: rows are asked about, labels come, monitoring looks, and what it asks for is done."""
    project = load_project(name)
    begin, step = clients.clock.read(), timedelta(seconds=project.monitor.window_seconds)
    while clients.left:
        clients.send(begin + ((clients.times[clients.next] - begin) // step + 1) * step)
        if _look(name, clients, timeline):
            _retrain(name, clients, timeline)
    clients.clock.set(clients.times[-1] + DELAY + step)
    _look(name, clients, timeline)
    clients.clock.set(clients.clock.read() + timedelta(days=31, hours=project.labels.mature_hours))
    if _look(name, clients, timeline, close=True):
        timeline.tell("end", "another retraining was asked for, when the rows had come to an end")


def _look(name: str, clients: Clients, timeline: Timeline, close: bool = False) -> bool:
    """Whether monitoring asks for a training now."""
    clients.wait_logged()
    labels = clients.labels(settings().home, DELAY)
    if labels:
        label.fn(name, file=str(labels))
        labels.unlink()
    decision: Decision = monitor.fn(name, close=close).decision
    timeline.news()
    return decision.action == "retrain"


def _retrain(name: str, clients: Clients, timeline: Timeline) -> None:
    """What `prefect.yaml` starts when monitoring asks: the labelled rows are ingested, a candidate is trained and
    judged, and a release rolled out, while clients go on asking."""
    new = add_cut(clients, clients.known(DELAY))
    found = ingest.fn(name, until=simulated_source.source().names()[-1])
    rows = sum(batch.rows for batch in found.batches)
    timeline.tell("ingested", f"{rows:,} rows, {new:,} of them since the last time")
    try:
        outcome = _ended(train.fn(name))
        with clients.passing(load_project(name).rollout.replay_rate), timeline.following():
            _ended(deploy.fn(name, outcome.release.version))
    except (Rejected, RolloutError):
        pass  # the ledger has the reasons, and the champion goes on
    timeline.news()


def _ended(found: Any) -> Any:
    """What a flow gave; raises the error of a state of type FAILED, which is what a flow returns of a refusal."""
    error = getattr(found, "data", None)
    if isinstance(error, PenstockError):
        raise error
    return found


def _found(name: str, scenario: Scenario, clients: Clients, timeline: Timeline) -> Simulated:
    project, events = load_project(name), read_ledger(name)
    metric = project.live_metric
    served = read_served(read_windows(name))
    first, last = (ledger.tenures(events)[place].version for place in (0, -1))
    rows, before = overall(project, first, clients)
    after_rows, after = overall(project, last, clients)
    days = (clients.times[-1] - clients.times[0]).days + 1
    return Simulated(
        project=name,
        scenario=scenario,
        metric=metric,
        moments=tuple(timeline.moments),
        live=tuple(
            Live(when=one.coverage.period, version=one.model, labelled=one.rows, metric=one.metrics.get(metric))
            for one in months(project)
        ),
        before=Live(when="", version=first, labelled=rows, metric=before),
        after=Live(when="", version=last, labelled=after_rows, metric=after) if last != first else None,
        beside=overall(project, last, clients, instead=first)[1] if last != first else None,
        requests=clients.sent,
        failed=clients.failed,
        refused=clients.refused,
        predictions=served.height,
        distinct=served["request_id"].n_unique(),
        labels=clients.labelled,
        retrains=sum(event.kind == "retrain asked" for event in events),
        promoted=tuple(event.version for event in events if event.kind == "promoted")[1:],
        rejected=tuple(event.reason for event in events if event.kind in ("rejected", "failed", "held")),
        days=days,
        seconds=round(timeline.seconds, 1),
    )


if __name__ == "__main__":
    sandbox.stop_in_order()
    with readable_errors():
        sys.stdout.write(sandboxed(sys.argv[1], sys.argv[2]).model_dump_json() + "\n")  # type: ignore[arg-type]
