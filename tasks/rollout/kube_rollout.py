"""Watches a rollout that the cluster leads, until it has ended or has waited for too long."""

from __future__ import annotations

import time

from penstock.errors import PlatformError
from penstock.kube_release import KubeRelease
from penstock.kube_rollout import Seen, analysis_names, seen
from penstock.release_config import RolloutConfig
from tasks.machine.steps import StepEvent, emit
from tasks.rollout import kube_api, manifests

LOOK_SECONDS = 5.0
NAME = "model"


def look(namespace: str, release: KubeRelease) -> Seen:
    """How the rollout goes now. Raises what `kube_api.get` raises."""
    found = kube_api.rollout(namespace, NAME)
    if found is None:
        return Seen(state="absent", reasons=(f"there is no Rollout `{NAME}` in the namespace {namespace}",))
    runs = [kube_api.analysis_run(namespace, name) for name in analysis_names(found)]
    return seen(found, release.digest, [run for run in runs if run is not None])


def watch(namespace: str, release: KubeRelease, config: RolloutConfig) -> Seen | None:
    """The look that decided: healthy, failed or held. None: another release is in the manifests meanwhile.

    A step that gets no further for its own time and `max_wait_seconds` is held, as is a commit that the cluster does
    not take. Raises PlatformError when the API has not answered for that long; the rollout then goes on without us.
    """
    most = max(config.step_seconds, config.bake_seconds) + config.max_wait_seconds
    last, since = Seen(state="absent"), time.monotonic()
    silent = 0.0  # since when the API has not answered; while it does not, nobody is held
    while True:
        if manifests.current(release.project) != release:
            return None
        try:
            now = look(namespace, release)
        except PlatformError:
            silent = silent or time.monotonic()
            if time.monotonic() - silent > most:
                raise
            time.sleep(LOOK_SECONDS)
            continue
        if silent:
            since, silent = since + time.monotonic() - silent, 0.0
        waited = time.monotonic() - since
        if now.state in ("healthy", "failed", "held"):
            return now
        if (now.state, now.step) != (last.state, last.step):
            last, since = now, time.monotonic()
            emit(StepEvent(name="await rollout", state="progress", summary=now.step or now.reasons[0], share=0))
        elif waited > (config.max_wait_seconds if now.state != "going" else most):
            why = now.reasons or (f"{now.step}: it did not get on for {waited:.0f} s",)
            return now.model_copy(update={"state": "held", "reasons": why})
        time.sleep(LOOK_SECONDS)
