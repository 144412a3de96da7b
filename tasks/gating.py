"""The gate: reads what evaluation measured, decides in `penstock/gate.py`. The decision itself is the result."""

from __future__ import annotations

from penstock.candidate import Champion
from penstock.config import EvaluateConfig, GateConfig
from penstock.gate import Decision, decide
from penstock.paired import Losses
from penstock.refs import Evaluation
from tasks.caching import task
from tasks.store import read_json


@task
def gate_candidate(
    evaluation: Evaluation,
    baseline: Evaluation | None,
    losses: Losses | None,
    champion: Champion | None,
    gate: GateConfig,
    evaluate: EvaluateConfig,
) -> Decision:
    """Whether the candidate may become a release. Raises StorageError if the metrics cannot be read."""
    return decide(
        gate,
        evaluate,
        candidate=read_json(evaluation.metrics),
        baseline=read_json(baseline.metrics) if baseline else None,
        champion=champion.version if champion else "",
        same_model=baseline is not None and baseline.model == evaluation.model,
        losses=losses.losses if losses else (),
    )
