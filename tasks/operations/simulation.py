"""Prepares a simulation's sandbox, and says afterwards how good what served in it was."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from penstock import ledger
from penstock.config import Project
from penstock.errors import ConfigError
from penstock.features import encode_frame
from penstock.intervals import Measured
from penstock.label_rows import LABEL
from penstock.labels import labelled
from penstock.ledger import Event
from penstock.live_metrics import WindowScore, measure, score_windows
from penstock.model import load, recipe
from penstock.simulation import Play, Scenario, moment, strongest
from tasks.data import simulated_source
from tasks.data.data import resolve_dataset
from tasks.data.project import config_path, schema_text
from tasks.data.sources import load_source
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.monitoring import label_store
from tasks.monitoring.collected_store import read_windows
from tasks.monitoring.labelling import key_kinds
from tasks.monitoring.served_store import read_served
from tasks.operations.clients import Clients
from tasks.registry import ledger_store
from tasks.registry.releases import packaged
from tasks.store import numbered, store
from tasks.training.lineage import describe_lineage

if TYPE_CHECKING:
    import polars as pl

SEGMENT_SECONDS = 0.3  # of the machine's time: what was answered is looked at every few seconds


def plan_play(project: Project, scenario: Scenario, until: str = "", share: float = 1.0) -> Play:
    """What is played: the batches after `data.until`, up to ``until`` or the last. Raises ConfigError."""
    where, names = f"configs/{project.name}.yaml", load_source(project).names()
    time, call = project.features.time, project.data.source.call
    if call is None:
        raise ConfigError(
            "Only the batches of a source that is a function can be played.",
            where=f"{where}, key data.source",
            allowed="module:function",
            next_step="write a function that reads these files or this query, batch by batch",
        )
    if time is None:
        raise ConfigError(
            "Rows cannot be played in their order: the project has no time column.",
            where=f"{where}, key features.time",
            next_step="name the column that says when a row is asked about",
        )
    after = names[names.index(project.data.until) + 1 :] if project.data.until in names else []
    if not after:
        raise ConfigError(
            "There are no rows to play: those after `data.until` are played, and the source has none.",
            where=f"{where}, key data.until",
            found=project.data.until or "nothing: every batch is trained on",
            allowed=f"an earlier batch than the source's last, {names[-1]}" if names else "a source with batches",
            next_step="set `data.until` to an earlier batch",
        )
    if until and until not in after:
        raise ConfigError(
            f"`{until}` is no batch that could be played.", where="--until", allowed=f"{after[0]} .. {after[-1]}"
        )
    history, live = names[: len(names) - len(after)], after[: after.index(until) + 1] if until else after
    play = Play(
        source=call,
        history=tuple(history),
        live=tuple(live),
        time=time,
        label=project.features.label,
        share=share,
    )
    return play if scenario == "months" else _with_shift(project, play)


def _with_shift(project: Project, play: Play) -> Play:
    """The first third of the history stays as it was: the first model is trained on it."""
    known = max(1, len(play.history) // 3)
    if known == len(play.history):
        raise ConfigError(
            "A shift cannot be planted: it needs a batch before it, and one after it to learn it from.",
            where=f"configs/{project.name}.yaml, key data.until",
            found=f"{len(play.history)} batches up to `data.until`",
            allowed="two at least",
            next_step="--scenario months",
        )
    rows = load_source(project).read(play.history[known - 1]).rows
    return play.model_copy(
        update={"since": play.history[known], "mirrored": strongest(rows, project.features, play.time)}
    )


def write_config(project: Project, play: Play, root: Path) -> None:
    """Into the sandbox's checkout: the project's own config, but for what a simulation needs."""
    tree = yaml.safe_load(config_path(project.name).read_text(encoding="utf-8"))
    tree["data"]["until"] = play.trained_until
    tree.setdefault("retrain", {})["enabled"] = True
    tree.setdefault("rollout", {}).update(traffic="live", approval="auto")
    tree.setdefault("serve", {}).setdefault("log", {})["segment_seconds"] = SEGMENT_SECONDS
    path = root / "configs" / f"{project.name}.yaml"
    path.unlink()
    _write(path, tree)


def play_from_now(project: str) -> None:
    """From here on, the project's source yields the history as the play has it, and then what came."""
    path = config_path(project)
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["data"] |= {"source": simulated_source.NAME, "until": None}
    _write(path, tree)


def take_over(project: Project, known: Path) -> str:
    """The version that a release of the user's ledger (its folder, ``known``) has here; "" if none is what training
    would make now."""
    lineage = describe_lineage.fn(project, schema_text(project), resolve_dataset.fn(project.data))
    found = [Event.model_validate_json(path.read_bytes()) for path in numbered.paths(known)]
    same = ledger.with_identity(found, lineage.identity)
    if same is None or not store.intact(same.record):
        return ""
    event = ledger_store.append(
        project.name,
        lambda events: {
            "kind": "registered",
            "version": ledger.next_version(events, project.name),
            "identity": same.identity,
            "record": same.record,
            "reason": f"{same.version} of the checkout",
            "facts": same.facts | {"champion": ""},
        },
    )
    assert event is not None
    return event.version


def add_cut(clients: Clients, known: int) -> int:
    """Have the source yield the rows before number ``known`` that it did not yield yet; returns how many."""
    play = simulated_source.read_play()
    times = clients.rows[play.time]
    cuts = play.cuts or (times[0].isoformat(),)
    new = int((times[:known] >= moment(cuts[-1])).sum())
    if new:
        end = times[known] if known < len(times) else times[-1] + timedelta(days=1)
        simulated_source.write_play(play.model_copy(update={"cuts": (*cuts, end.isoformat())}))
    return new


def labelled_predictions(project: Project) -> pl.DataFrame:
    """Every answer that clients got, with its label; null where none has come."""
    config = project.labels
    fields = tuple(filter(None, (*config.key_columns, config.time)))
    state = label_store.state(project.name, config.key)
    return labelled(read_served(read_windows(project.name), fields), state, config, key_kinds(project))


def months(project: Project) -> list[WindowScore]:
    """Each release's quality in each month, as far as labels came."""
    config = project.labels.model_copy(update={"period": "month"})
    return score_windows(labelled_predictions(project), config, (), project.evaluate.min_slice_rows, clock.now())


def overall(project: Project, version: str, clients: Clients, instead: str = "") -> tuple[int, Measured | None]:
    """(labelled rows, live metric) of all that a release answered; or what release ``instead`` would have answered."""
    import polars as pl

    rows = labelled_predictions(project).filter((pl.col("model") == version) & pl.col(LABEL).is_not_null())
    if not rows.height:
        return 0, None
    score, decision = rows["score"].to_numpy(), rows["decision"].to_numpy()
    if instead:
        candidate = packaged(project.name, instead).candidate
        booster = load(store.read_bytes(candidate.model.booster), settings().cpus)
        asked = clients.rows[clients.numbers(rows["request_id"])]
        score = booster.inplace_predict(encode_frame(asked, *recipe(booster, project.features.label)))
        decision = score >= store.read_json(candidate.evaluation.metrics)["threshold"]
    return rows.height, measure(rows[LABEL].to_numpy(), score, decision).get(project.live_metric)


def _write(path: Path, tree: dict[str, Any]) -> None:
    store.write_atomic(path, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode())
