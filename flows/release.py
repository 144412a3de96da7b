"""release: what a git ref says becomes a release, and is brought into production if that is asked for.

A tag or a merge is a release path by this: the ref's config, schema, pinned data and code are what is trained. How it
is rolled out (`serve`, `rollout`) is what the working tree says.
"""

from __future__ import annotations

from penstock.candidate import Outcome
from penstock.errors import ConfigError
from penstock.refs import Value
from penstock.rollout import Deployment
from tasks.ci import ci_run, releasing
from tasks.data.git import tag_release
from tasks.data.project import load_project
from tasks.machine.settings import settings


class Released(Value):
    """A ref's release. ``deployment``: None where none was asked for; ``tag``: the git tag that it left, or ""."""

    outcome: Outcome
    commit: str
    deployment: Deployment | None = None
    tag: str = ""

    def __str__(self) -> str:
        release = self.outcome.release
        lines = [f"{release.version}: {'registered' if release.new else 'there already'}, of commit {self.commit[:12]}"]
        if self.deployment:
            lines.append(f"  {self.deployment}")
            if self.deployment.result == "waiting for approval":
                name, version = release.project, release.version
                lines.append(f'  next:    penstock approve {name} {version} --reason "..."')
        else:
            lines.append(f"  next:    penstock deploy {release.project} {release.version}")
        if self.tag:
            lines.append(f"  tag:     {self.tag}")
        return "\n".join(lines)


def release(config: str, ref: str = "HEAD", deploy: bool = False, tag: bool = False) -> Released:
    """Train a project as ``ref`` has it, and ``deploy`` that very release.

    The same ref makes no second version: a second call finds the first one's. ``tag``: a release that came to serve
    leaves a git tag. Raises Rejected if its gates refuse it, RolloutError if it does not come to serve.
    """
    name = load_project(config).name
    commit = releasing.require_commit(ref)
    if releasing.is_here(ref):
        from flows.train import train

        outcome: Outcome = train(name)
    else:
        outcome = releasing.train_at(name, ref)
    if outcome.release.verdict == "rejected":
        raise outcome.rejection()
    if not deploy:
        return Released(outcome=outcome, commit=commit)
    from flows.deploy import deploy as deploy_flow

    deployment: Deployment = deploy_flow(name, version=outcome.release.version, wait=True)
    served = deployment.serving == outcome.release.version
    made = tag_release(outcome.release.version, commit) if tag and served else ""
    return Released(outcome=outcome, commit=commit, deployment=deployment, tag=made)


def require_lasting_home() -> None:
    """Raise ConfigError in a CI system whose workspace would hold the ledger and what serves: it is cleaned."""
    home, root = settings().home, settings().root
    if ci_run.running().system and home.is_relative_to(root):
        raise ConfigError(
            "A release needs a home that outlives the job.",
            where="PENSTOCK_HOME",
            found=str(home),
            allowed="a folder outside of the checkout, on the machine that serves",
            next_step="set PENSTOCK_HOME for the jobs `release` and `deploy`, see docs/ci.md",
        )
