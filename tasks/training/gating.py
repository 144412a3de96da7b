"""The gate: reads what evaluation measured, decides in `penstock/gate.py`. The decision itself is the result."""

from __future__ import annotations

from penstock.behaviour import Behaviour, behaviour_checks
from penstock.behaviour_config import BehaviourTest
from penstock.candidate import Champion
from penstock.config import EvaluateConfig, GateConfig
from penstock.fairness import Fairness, fairness_checks
from penstock.gate import Decision, decide
from penstock.leakage import Alone, leak_check
from penstock.paired import Losses
from penstock.refs import Evaluation
from penstock.skew import Skew, skew_checks
from tasks.store.caching import task
from tasks.store.store import read_json


@task
def gate_candidate(
    evaluation: Evaluation,
    baseline: Evaluation | None,
    losses: Losses | None,
    champion: Champion | None,
    gate: GateConfig,
    evaluate: EvaluateConfig,
    tests: dict[str, BehaviourTest],
    behaviour: Behaviour | None,
    fairness: Fairness | None,
    alone: Alone,
    skew: Skew | None,
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
        more=[
            *skew_checks(skew),
            leak_check(alone, gate.max_single_feature),
            *fairness_checks(gate.fairness, fairness, evaluate.min_slice_rows),
            *behaviour_checks(tests, behaviour),
        ],
    )
