"""ci_train: a candidate of a declared sample, beside the base's and the champion. It is judged, and then let go.

No release comes of it: nothing here packages, registers or deploys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.lifecycle import flow
from flows.train import Judged, fit, judge_candidate
from penstock.candidate import Champion
from penstock.ci_config import CiConfig
from penstock.ci_found import MetricFound, Plot, TrainFound, beside, gate_found, interval
from penstock.comparison import Change, changes
from penstock.gate import judged_slices
from penstock.paired import Losses
from penstock.task_type import TASK_TYPES
from tasks.ci.ci_base import Base, base_of, why_no_champion
from tasks.data.data import resolve_dataset
from tasks.data.profiling import profile_splits
from tasks.data.project import load_project, schema_text
from tasks.data.validation import validate_dataset
from tasks.registry.comparing import slice_changes
from tasks.registry.registry import find_champion
from tasks.reports.reporting import plots_beside
from tasks.store import store
from tasks.store.caching import gathered, is_planning, scope
from tasks.training.evaluation import evaluate_model
from tasks.training.leaking import measure_features
from tasks.training.lineage import describe_lineage
from tasks.training.pairing import measure_differences
from tasks.training.sampling import sample_splits
from tasks.training.splitting import split_dataset

if TYPE_CHECKING:
    from penstock.config import EvaluateConfig, Project
    from penstock.refs import Dataset, Evaluation, Splits


@flow
def ci_train(config: str, base: str = "", share: float = 0, seed: int = -1) -> TrainFound | None:
    """Train a project's model on a sample and judge it on every test row.

    ``config``: a project's name or its YAML's path. ``base``: a commit, "" for none: its model learns from the same
    sample, and the gate's bounds of change are asked beside it, because beside a champion that learnt from every row
    a sample's candidate would look worse than the change is. ``share``, ``seed``: instead of those of `ci:`.
    Returns None while planning. Whether the gates passed is in what is returned.
    """
    project = load_project(config)
    scope.set(project.name)
    declared = project.ci or CiConfig(sample=1)
    share, seed = share or declared.sample, seed if seed >= 0 else declared.seed
    schema = schema_text(project)
    dataset = resolve_dataset(project.data)
    champion = find_champion(describe_lineage(project, schema, dataset))
    before = base_of(project.name, base, dataset)
    sample = _sampled(project, schema, dataset, share, seed)
    reference = _reference(before, share, seed)
    measuring = measure_features.submit(sample, project.features, project.train.task)
    profiling = profile_splits.submit(sample, project.features)
    judged = judge_candidate(project, dataset, sample, reference, measuring, profiling)
    own = measure_differences.named("measure spread")(judged.evaluation, None, project.evaluate)
    from_base = from_champion = scored = None
    if judged.baseline:
        from_base = measure_differences.named("compare with base")(judged.evaluation, judged.baseline, project.evaluate)
    if champion:
        score = evaluate_model.named("score the champion")
        scored = score(sample, champion.model, project.features, project.evaluate, project.train.target)
        from_champion = measure_differences.named("compare with release")(judged.evaluation, scored, project.evaluate)
    if is_planning():
        return None
    documents = [_large_slices(one, project.evaluate) for one in (judged.evaluation, judged.baseline) if one]
    return TrainFound(
        project=project.name,
        sample=share,
        seed=seed,
        rows=sample.rows,
        base=before.name,
        why_no_base=before.why_not,
        champion=champion.version if champion else "",
        why_no_champion="" if champion else why_no_champion(project.name),
        config=_config_changes(before, project),
        metrics=_metrics(judged, own, from_base, scored, from_champion),
        gates=tuple(gate_found(check) for check in judged.decision.checks),
        passed=judged.decision.passed,
        slices=slice_changes(documents[1], documents[0]) if len(documents) == 2 else (),
        plots=tuple(
            Plot(title=title, svg=svg, note=note)
            for title, svg, note in plots_beside(judged.model, judged.evaluation, judged.baseline, "base")
        ),
    )


def _sampled(project: Project, schema: str, dataset: Dataset, share: float, seed: int, of: str = "") -> Splits:
    """``of``: whose steps these are, where it is not the candidate."""
    validate = validate_dataset.named(f"validate {of}") if of else validate_dataset
    split = split_dataset.named(f"split {of}") if of else split_dataset
    sample = sample_splits.named(f"sample {of}") if of else sample_splits
    checked = validate(dataset, schema, project.data)
    splits = split(dataset, checked, project.features, project.split, project.evaluate, project.train.task)
    return sample(splits, project.features, project.train.task, share, seed)


def _reference(base: Base, share: float, seed: int) -> Champion | None:
    """The base's model, of a sample like the candidate's."""
    if base.project is None or base.dataset is None:
        return None
    sample = _sampled(base.project, base.schema_text, base.dataset, share, seed, "base")
    model, _ = fit(base.project, base.dataset, sample, "train base")
    return gathered(Champion, version=base.name, model=model, why="the base, of the same sample")


def _config_changes(base: Base, project: Project) -> tuple[Change, ...]:
    if base.project is None:
        return ()
    return changes(*(one.model_dump(mode="json", by_alias=True) for one in (base.project, project)))


def _large_slices(evaluation: Evaluation, evaluate: EvaluateConfig) -> dict[str, Any]:
    """What was measured, without slices of too few rows to say anything."""
    document: dict[str, Any] = store.read_json(evaluation.metrics)
    return {**document, "slices": judged_slices(document, evaluate)}


def _metrics(
    judged: Judged,
    own: Losses,
    from_base: Losses | None,
    scored: Evaluation | None,
    from_champion: Losses | None,
) -> tuple[MetricFound, ...]:
    """Every metric that is shown, with its interval and the differences."""
    document, base, champion = (
        store.read_json(one.metrics) if one else {} for one in (judged.evaluation, judged.baseline, scored)
    )
    spread, beside_base, beside_champion = (
        {loss.metric: loss for loss in one.losses} if one else {} for one in (own, from_base, from_champion)
    )
    found = []
    for name in TASK_TYPES[document.get("task", "binary")].shown:
        if name not in document["metrics"]:
            continue
        low, high = interval(name, spread.get(name))
        found.append(
            MetricFound(
                name=name,
                value=document["metrics"][name],
                low=low,
                high=high,
                base=beside(name, base["metrics"].get(name), beside_base.get(name)) if "metrics" in base else None,
                champion=beside(name, champion["metrics"].get(name), beside_champion.get(name))
                if "metrics" in champion
                else None,
            )
        )
    return tuple(found)
