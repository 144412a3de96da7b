"""Candidates with small files of their own, for tests of what is done with one."""

from __future__ import annotations

from penstock.candidate import Candidate, Champion
from tasks.data.project import load_project
from tasks.store import store


def made(
    dataset: str = "d1", *, passed: bool = True, champion: Champion | None = None, failed: str = "auc", **metrics: float
) -> Candidate:
    """A candidate with small files of its own; ``dataset`` is what tells one lineage from another."""
    file, booster = store.put_bytes(b"anything", "thing.bin"), store.put_bytes(dataset.encode(), "model.ubj")
    project = load_project("tiny")
    config = store.put_json(project.model_dump(mode="json", by_alias=True), "config.json")
    history = {"train": [0.6, 0.5, 0.4], "validation": [0.6, 0.55, 0.5], "best_iteration": 2, "warnings": []}
    numbers = {"auc": 0.7, "f1": None, **metrics}
    curves = {
        "roc": {"fpr": [0.0, 0.5, 1.0], "tpr": [0.0, 0.8, 1.0]},
        "pr": {"recall": [0.0, 1.0], "precision": [1.0, 0.2]},
        "calibration": [{"mean_score": 0.1, "positive_rate": 0.12, "rows": 10}],
    }
    document = {
        "threshold": 0.5, "rows": 10, "positives": 3, "metrics": numbers,
        "validation": {"rows": 9, "metrics": {"auc": 0.65}},
    }  # fmt: skip
    evaluation = {
        "model": booster.sha256, "metrics": store.put_json(document, "metrics.json"),
        "curves": store.put_json(curves, "curves.json"), "predictions": file, "headline": "",
    }  # fmt: skip
    return Candidate.model_validate({
        "lineage": {
            "project": "tiny", "config": config, "schema_text": file, "dataset": dataset, "remote": "",
            "git_commit": "c0ffee", "git_dirty": False, "code": {}, "environment": "e", "libraries": {}, "python": "3",
        },
        "dataset": {"path": "data/tiny", "version": dataset, "files": []},
        "checked": {"report": file, "excluded": None, "rows": 10, "invalid": 0},
        "splits": dict.fromkeys(("train", "validation", "test", "categories", "summary"), file) | {"rows": (1, 1, 1)},
        "profiles": dict.fromkeys(("train", "validation", "test", "summary"), file),
        "model": {"booster": booster, "history": store.put_json(history, "h.json"), "best_iteration": 2, "rounds": 3},
        "evaluation": evaluation,
        "champion": champion,
        "baseline": evaluation if champion else None,
        "decision": {
            "passed": passed,
            "checks": []
            if passed
            else [{"name": failed, "value": 0.1, "baseline": None, "bound": "at least 0.5", "passed": False}],
            "reasons": [] if passed else ["auc: 0.1, must be at least 0.5"],
            "champion": champion.version if champion else "",
        },
        "package": {"bento": file, "tag": "tiny:1", "digest": "1" * 64, "schema_spec": file, "sbom": file}
        if passed
        else None,
        "check": None,
    })  # fmt: skip
