"""A candidate and all that is known of it: what the gates judged, what is registered, what the report shows."""

from __future__ import annotations

import hashlib
import json
from datetime import date

from penstock.errors import Rejected
from penstock.gate import Decision
from penstock.refs import (
    Checked,
    Dataset,
    Engine,
    Evaluation,
    FileRef,
    InfraCheck,
    Model,
    Package,
    Profiles,
    Splits,
    Value,
)
from penstock.tuning import Tuned


class Lineage(Value):
    """From what a model was made. `identity` is equal exactly when data, config, code, environment and engine are."""

    project: str
    config: FileRef  # the whole project as canonical JSON
    schema_text: FileRef
    dataset: str
    remote: str
    git_commit: str  # empty without git
    git_dirty: bool  # changes beside Penstock's own .dvc files
    code: dict[str, str]
    environment: str  # hash of the versions of everything installed
    libraries: dict[str, str]
    python: str
    engine: Engine | None = None  # None: one process trained the model

    @property
    def trained_by(self) -> str:
        return str(self.engine or "one process")

    @property
    def identity(self) -> str:
        """SHA-256 over what determines the model. The git commit is not part of it: the code's own hashes are."""
        parts = [self.project, self.config.sha256, self.schema_text.sha256, self.dataset, self.code, self.environment]
        parts += [self.engine.model_dump()] if self.engine else []
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Champion(Value):
    """The model a candidate is compared with, and why that one."""

    version: str
    model: Model
    why: str

    def __str__(self) -> str:
        return f"{self.version} ({self.why})"


class Forced(Value):
    """A person's word that a rejected candidate may serve all the same, for a time. No part of a release's identity.

    ``until``: the last day, UTC. ``failed``: the checks that had failed, with their values, in words.
    """

    by: str
    reason: str
    until: date
    failed: str

    def __str__(self) -> str:
        return f"by {self.by} until {self.until}: {self.reason} (failed: {self.failed})"


class Candidate(Value):
    """One training run's whole result. `package` and `check` are None when a gate closed before them; `tuned` is where
    no parameters were searched for, `forced` where no person overruled the gates."""

    lineage: Lineage
    dataset: Dataset
    checked: Checked
    splits: Splits
    profiles: Profiles
    model: Model
    evaluation: Evaluation
    champion: Champion | None
    baseline: Evaluation | None
    decision: Decision
    package: Package | None
    check: InfraCheck | None
    tuned: Tuned | None = None
    forced: Forced | None = None


class Release(Value):
    """What the ledger made of a candidate: a version if it was blessed, by its gates or by force, none if rejected."""

    project: str
    version: str  # "flights-v3", or "" when rejected
    verdict: str  # blessed | forced | rejected
    identity: str
    record: FileRef  # the candidate as JSON
    sequence: int
    new: bool  # False when the ledger had it already

    def __str__(self) -> str:
        return self.version or self.verdict


class Outcome(Value):
    """What a training run ends with: the ledger's word, the candidate itself, and the report (HTML)."""

    release: Release
    candidate: Candidate
    report: FileRef

    def rejection(self) -> Rejected:
        """The error that a rejected candidate's run ends with."""
        reasons = self.candidate.decision.reasons
        error = Rejected(
            f"The candidate of `{self.release.project}` was rejected by its gates.",
            found="; ".join(reasons),
            next_step=f"penstock report {self.release.project}; then mend data or features, or change `gate:`",
        )
        error.outcome = self
        return error

    def __str__(self) -> str:
        return str(self.release)
