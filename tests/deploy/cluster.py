"""A stand-in for a cluster: no Kubernetes, no Argo. An HTTP server that answers the two questions Penstock asks.

What it has is what is in the manifests' remote repository, rendered by `kubectl kustomize` at each question, as Argo CD
would; how a rollout goes is what the test says (`outcome`). The fields of `status` are those of Argo Rollouts' types
and of its documentation; none was recorded from a real controller.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import loopback
from tests.loopback import Quiet
from tests.manifests import render

FAILED = {"name": "errors", "phase": "Failed", "measurements": [{"phase": "Failed", "value": "[12.5]"}]}
NOTHING = {"name": "requests", "phase": "Inconclusive", "measurements": [{"phase": "Inconclusive", "value": "[]"}]}
SILENT = {"name": "errors", "phase": "Error", "measurements": [{"phase": "Error", "message": "connection refused"}]}


class Cluster:
    def __init__(self, remote: Path, clone: Path, folder: str) -> None:
        self.remote, self.clone, self.folder = remote, clone, folder
        self.outcome = "healthy"  # | failed | inconclusive | error | silent | refuses | stuck
        self.generation, self.image, self.looks, self.stable = 0, "", 0, ""
        self.asked: list[str] = []

    def rollout(self) -> dict[str, Any] | None:
        self._git("pull", "--quiet")
        if not (self.clone / self.folder).exists():
            return None
        found = next(each for each in render(self.clone / self.folder) if each["kind"] == "Rollout")
        image = found["spec"]["template"]["spec"]["containers"][0]["image"]
        if image != self.image:
            self.generation, self.image, self.looks = self.generation + 1, image, 0
        self.looks += 1
        found["metadata"]["generation"] = self.generation
        found["status"] = self._status(found["spec"]["strategy"]["canary"]["steps"])
        return found

    def _status(self, steps: list[dict[str, Any]]) -> dict[str, Any]:
        new, first = f"hash{self.generation}", not self.stable
        status: dict[str, Any] = {
            "observedGeneration": str(self.generation if self.looks > 1 else self.generation - 1),
            "currentPodHash": new,
            "stableRS": self.stable or new,
            "phase": "Progressing",
            "currentStepIndex": 0,
        }
        if self.looks <= 2 or self.outcome == "stuck":
            return status
        background = {"name": f"model-{new}-1", "status": "Running"}
        if self.outcome in ("failed", "error"):
            status |= {"phase": "Degraded", "abort": True, "currentStepIndex": 0}
            status["message"] = "RolloutAborted: Rollout aborted update to revision 2"
            status["canary"] = {"currentBackgroundAnalysisRunStatus": background | {"status": "Failed"}}
        elif self.outcome == "inconclusive":
            status |= {"phase": "Paused", "currentStepIndex": 2, "message": "InconclusiveAnalysisRun"}
            status["pauseConditions"] = [{"reason": "InconclusiveAnalysisRun", "startTime": "2026-01-01T00:00:00Z"}]
            status["canary"] = {"currentStepAnalysisRunStatus": background | {"status": "Inconclusive"}}
        elif self.looks == 3 and not first:
            status |= {"phase": "Paused", "message": "CanaryPauseStep", "currentStepIndex": 1}
            status["pauseConditions"] = [{"reason": "CanaryPauseStep", "startTime": "2026-01-01T00:00:00Z"}]
        else:
            status |= {"phase": "Healthy", "stableRS": new, "currentStepIndex": len(steps)}
            self.stable = new
        return status

    def analysis_run(self) -> dict[str, Any]:
        found = {"failed": FAILED, "inconclusive": NOTHING, "error": SILENT}[self.outcome]
        return {"kind": "AnalysisRun", "status": {"phase": found["phase"], "metricResults": [found]}}

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", str(self.clone), *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """Its address."""

    class Handler(Quiet):
        def do_GET(self) -> None:
            cluster.asked.append(self.path)
            if cluster.outcome in ("silent", "refuses"):
                self.send_error(503 if cluster.outcome == "silent" else 403)
                return
            found = cluster.analysis_run() if "/analysisruns/" in self.path else cluster.rollout()
            if found is None:
                self.send_error(404)
                return
            self.answer(json.dumps(found).encode())

    with loopback.serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"
