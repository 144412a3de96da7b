"""What the Kubernetes API says of a rollout, as a value. Pure: it reads the JSON of a Rollout and of its AnalysisRuns.

The fields are those of Argo Rollouts' `argoproj.io/v1alpha1`: `status.phase`, `abort`, `pauseConditions`, `stableRS`,
`currentPodHash`, `observedGeneration` (a string there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from penstock.refs import Value

# absent: the cluster has not taken the commit; paused: the evidence did not come, and a person may let it go on;
# held: it has ended, and nothing was found out about the release; failed: the evidence is against it
State = Literal["absent", "going", "paused", "held", "failed", "healthy"]
BAD = ("Failed", "Error", "Inconclusive")


class Seen(Value):
    """``step`` names where it is, so that a look can tell whether it gets on; ``reasons`` say why it does not."""

    state: State
    step: str = ""
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.state}: {'; '.join(self.reasons) or self.step}"


def analysis_names(rollout: Mapping[str, Any]) -> list[str]:
    """The AnalysisRuns that the rollout's status names, of the step and of the background."""
    canary = rollout.get("status", {}).get("canary", {})
    found = [canary.get(f"current{which}AnalysisRunStatus") for which in ("Step", "Background")]
    return [each["name"] for each in found if each and each.get("name")]


def seen(rollout: Mapping[str, Any], digest: str, runs: Sequence[Mapping[str, Any]]) -> Seen:
    """How the rollout of the image with ``digest`` goes. ``runs``: the AnalysisRuns of `analysis_names()`."""
    spec, status = rollout.get("spec", {}), rollout.get("status", {})
    image = spec.get("template", {}).get("spec", {}).get("containers", [{}])[0].get("image", "")
    if not image.endswith(f"@{digest}"):
        return Seen(state="absent", reasons=(f"the cluster has {image or 'no image'}, not the commit's",))
    generation = str(rollout.get("metadata", {}).get("generation", ""))
    if str(status.get("observedGeneration", "")) != generation:
        return Seen(state="going", step="Argo Rollouts has not looked at it yet")
    step = _step(spec, status)
    why = tuple(_findings(runs)) or tuple(filter(None, (status.get("message", ""),)))
    invalid = [each for each in status.get("conditions", []) if each.get("type") == "InvalidSpec"]
    if any(each.get("status") == "True" for each in invalid):
        return Seen(state="held", step=step, reasons=(f"Argo Rollouts refuses the manifests: {invalid[0]['message']}",))
    if status.get("abort") or status.get("phase") == "Degraded":
        return Seen(state=_ended(runs), step=step, reasons=why or ("Argo Rollouts aborted it and did not say why",))
    reasons = {each.get("reason") for each in status.get("pauseConditions") or ()}
    if "InconclusiveAnalysisRun" in reasons:
        return Seen(state="paused", step=step, reasons=why)
    current = status.get("currentPodHash", "")
    if status.get("phase") == "Healthy" and current and current == status.get("stableRS"):
        return Seen(state="healthy", step=step)
    return Seen(state="going", step=step)


def _ended(runs: Sequence[Mapping[str, Any]]) -> Literal["failed", "held"]:
    """An analysis that could not be made says nothing against a release."""
    phases = {run.get("status", {}).get("phase") for run in runs}
    return "held" if "Error" in phases and "Failed" not in phases else "failed"


def _findings(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for run in runs:
        for metric in run.get("status", {}).get("metricResults") or ():
            if metric.get("phase") not in BAD:
                continue
            last = (metric.get("measurements") or [{}])[-1]
            value = last.get("message") or (f"measured {last['value']}" if last.get("value") else "nothing measured")
            found.append(f"{metric['name']}: {metric['phase'].lower()}, {metric.get('message') or value}")
    return found


def _step(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    steps = spec.get("strategy", {}).get("canary", {}).get("steps") or []
    index = int(status.get("currentStepIndex") or 0)
    weights = [step["setWeight"] for step in steps[: index + 1] if "setWeight" in step]
    return f"step {min(index + 1, len(steps))} of {len(steps)}, {weights[-1] if weights else 0} %"
