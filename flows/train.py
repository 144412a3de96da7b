"""train: a dataset version becomes a gated, packaged, registered release, or a rejected candidate with its reasons.

Reads the project's YAML and the dataset that DVC tracks; writes the store, the ledger, MLflow and the report.
Nothing is retried: what fails here would fail the same way again, and a rerun goes on from what is cached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.lifecycle import flow, rejected_state
from penstock.candidate import Candidate, Champion, Outcome, Release
from tasks.data.data import resolve_dataset
from tasks.data.profiling import profile_splits
from tasks.data.project import load_project, schema_text
from tasks.data.validation import validate_dataset
from tasks.monitoring.retraining import answering
from tasks.monitoring.skewing import compare_serving, find_served
from tasks.packaging.infra import check_package
from tasks.packaging.packaging import package_model, start_builder
from tasks.packaging.serving_env import prepare_serving, serving_requirements
from tasks.registry.registry import find_champion, find_existing, recorded_candidate, register
from tasks.reports.mlflow_mirror import is_mirrored, load_early, mirror_to_mlflow
from tasks.reports.reporting import find_report, write_report
from tasks.store.caching import gathered, is_planning, scope
from tasks.training.behaving import try_behaviour
from tasks.training.evaluation import evaluate_model
from tasks.training.gating import gate_candidate
from tasks.training.grouping import compare_groups
from tasks.training.leaking import measure_features
from tasks.training.lineage import describe_lineage
from tasks.training.pairing import compare_with_champion
from tasks.training.splitting import split_dataset
from tasks.training.training import train_model
from tasks.training.tuning import tune_model

if TYPE_CHECKING:
    from prefect import State

    from penstock.config import Project
    from penstock.gate import Decision
    from penstock.leakage import Alone
    from penstock.paired import Losses
    from penstock.refs import Dataset, Evaluation, Model, Profiles, Splits
    from penstock.tuning import Tuned


@flow
def train(config: str, revision: str = "") -> Outcome | State[Outcome]:
    """Train, gate, package and register a project's model.

    ``config``: a project's name or its YAML's path. ``revision``: a git revision or a dataset version to train on
    instead of the one in the working tree. A candidate that its gates refuse ends the flow in a state of type FAILED
    named Rejected; a call from Python raises `penstock.errors.Rejected`.
    """
    project = load_project(config)
    scope.set(project.name)
    if is_planning():
        return _trained(project, revision)
    with answering(project.name) as made:
        outcome = _trained(project, revision)
        made(outcome.release)
    return rejected_state(outcome.rejection()) if outcome.release.verdict == "rejected" else outcome


def _trained(project: Project, revision: str) -> Outcome:
    target = project.train.target
    schema = schema_text(project)
    dataset = resolve_dataset(project.data, revision)
    lineage = describe_lineage(project, schema, dataset)
    champion = find_champion(lineage)
    existing = find_existing(lineage, champion)
    if existing:
        return _told(recorded_candidate(existing), existing, project)

    checked = validate_dataset(dataset, schema, project.data)
    splits = split_dataset(dataset, checked, project.features, project.split, project.evaluate, project.train.task)
    measuring = measure_features.submit(splits, project.features, target.task)
    profiling = profile_splits.submit(splits, project.features)
    requirements = serving_requirements()
    serving = prepare_serving.submit(requirements)
    if not is_planning():
        start_builder()
    judged = judge_candidate(project, dataset, splits, champion, measuring, profiling)
    model, evaluation, decision = judged.model, judged.evaluation, judged.decision
    package = check = None
    if decision.passed:
        if not is_planning():
            load_early()
        serving()
        package = package_model(
            model,
            evaluation,
            splits,
            schema,
            project.features,
            project.package,
            requirements,
            project.name,
        )
        check = check_package(package, evaluation, splits, project.features, project.package)

    candidate = gathered(
        Candidate,
        lineage=lineage,
        dataset=dataset,
        checked=checked,
        splits=splits,
        profiles=judged.profiles,
        model=model,
        evaluation=evaluation,
        champion=champion,
        baseline=judged.baseline,
        decision=decision,
        package=package,
        check=check,
        tuned=judged.tuned,
    )
    release = register(candidate)
    return _told(candidate, release, project)


@dataclass(frozen=True)
class Judged:
    """A candidate up to its gates; while planning, its parts may be pending."""

    profiles: Profiles
    model: Model
    evaluation: Evaluation
    baseline: Evaluation | None
    losses: Losses | None
    decision: Decision
    tuned: Tuned | None


def fit(project: Project, dataset: Dataset, splits: Splits, name: str = train_model.name) -> tuple[Model, Tuned | None]:
    """A model of the training rows, and the search for its parameters where there is one. ``name``: of the step."""
    tuned = None
    if project.tune:
        tuned = tune_model(
            dataset,
            splits,
            project.features,
            project.split,
            project.train,
            project.tune,
            project.evaluate.judging,
        )
    model = train_model.named(name)(splits, project.features, tuned.train if tuned else project.train)
    return model, tuned


def judge_candidate(
    project: Project,
    dataset: Dataset,
    splits: Splits,
    champion: Champion | None,
    measuring: Callable[[], Alone],
    profiling: Callable[[], Profiles],
) -> Judged:
    """Fit, evaluate, compare with ``champion`` on the same rows, gate. Nothing is registered.

    ``measuring`` and ``profiling``: what `measure_features` and `profile_splits` were started with, beside this.
    """
    target = project.train.target
    model, tuned = fit(project, dataset, splits)
    evaluation = evaluate_model(splits, model, project.features, project.evaluate, target)
    baseline = losses = None
    if champion:
        score_champion = evaluate_model.named("evaluate champion")
        baseline = score_champion(splits, champion.model, project.features, project.evaluate, target)
        losses = compare_with_champion(splits, evaluation, baseline, project.gate, project.evaluate)
    gate, alone, profiles = project.gate, measuring(), profiling()
    fairness = (
        compare_groups(splits, evaluation, gate.fairness, project.evaluate.min_slice_rows) if gate.fairness else None
    )
    behaviour = None
    if project.behaviour:
        behaviour = try_behaviour(splits, model, evaluation, project.features, project.behaviour)
    skew = None
    served = find_served(project.name, champion) if gate.serving_skew == "fail" else None
    if champion and served:
        skew = compare_serving(profiles, splits, served, champion, project.features, project.serve.log, project.monitor)
    decision = gate_candidate(
        evaluation,
        baseline,
        losses,
        champion,
        gate,
        project.evaluate,
        project.behaviour,
        behaviour,
        fairness,
        alone,
        skew,
    )
    return Judged(profiles, model, evaluation, baseline, losses, decision, tuned)


def _told(candidate: Candidate, release: Release, project: Project) -> Outcome:
    """Report and MLflow, unless they were told already. A run that broke off between is made up for here."""
    report = find_report(release) or write_report(candidate, release, project)
    if not is_mirrored(release):
        mirror_to_mlflow(candidate, release, report, project)
    return gathered(Outcome, release=release, candidate=candidate, report=report)
