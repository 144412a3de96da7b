"""A deploy by commit and the way back, commit by commit, in a real git repository with a remote.

Releases, ledger, git and the rendering are real; the cluster is a stand-in (`tests/deploy/cluster.py`), and so is the
program that builds and pushes images.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from penstock import ledger
from penstock.errors import ConfigError, PlatformError, RolloutError, StorageError
from tasks.data.project import load_project
from tasks.machine.settings import settings
from tasks.registry.registry import read_ledger
from tasks.rollout import gitops, kube_rollout, manifests
from tasks.rollout.rollback import plan_rollback, roll_back
from tests.deploy.cluster import Cluster, serving
from tests.manifests import DEPLOY, needs_kubectl, render

pytestmark = [needs_kubectl, pytest.mark.timeout(400)]
FOLDER = "deploy/kubernetes/releases/production/tiny"
PODMAN = """#!/bin/sh
last=""
while [ $# -gt 0 ]; do
  [ "$1" = --iidfile ] && echo sha256:$(printf %064d 7) > "$2"
  [ "$1" = --digestfile ] && file="$2"
  last="$1"; shift
done
[ -z "$file" ] || printf %s "sha256:$(printf %s "$last" | sha256sum | cut -c1-64)" > "$file"
"""


class Repository:
    """The team's manifests: a remote, Penstock's checkout of it, and a colleague's."""

    def __init__(self, root: Path) -> None:
        self.remote, self.checkout, self.colleague = root / "remote.git", root / "checkout", root / "colleague"
        self.clone = root / "argocd"
        git(root, "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote))
        git(root, "clone", "--quiet", str(self.remote), str(self.colleague))
        shutil.copytree(DEPLOY, self.colleague / "deploy" / "kubernetes")
        self.push(self.colleague, "The manifests")
        for each in (self.checkout, self.clone):
            git(root, "clone", "--quiet", str(self.remote), str(each))

    def push(self, where: Path, subject: str) -> None:
        git(where, "add", "-A")
        git(where, "commit", "--quiet", "-m", subject)
        git(where, "push", "--quiet", "origin", "HEAD:main")

    def subjects(self) -> list[str]:
        """Of the remote, oldest first."""
        return git(self.remote, "log", "--reverse", "--format=%s", "main").splitlines()

    def release(self, commit: str = "main") -> str:
        """The component as the remote has it."""
        return git(self.remote, "show", f"{commit}:{FOLDER}/release/kustomization.yaml")


def git(where: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@localhost", "-C", str(where), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def world(tiny, tmp_path_factory):
    """(repository, cluster): both tiny releases have images in a registry, and nothing serves."""
    root = tmp_path_factory.mktemp("gitops")
    repository = Repository(root)
    cluster = Cluster(repository.remote, repository.clone, FOLDER)
    tiny.change(max_wait_seconds=2)
    with pytest.MonkeyPatch.context() as patch, serving(cluster) as address:
        for name, value in {
            "PENSTOCK_TARGET": "gitops",
            "PENSTOCK_MANIFESTS": str(repository.checkout),
            "PENSTOCK_MANIFESTS_REMOTE": "origin",
            "PENSTOCK_KUBERNETES_API": address,
        }.items():
            patch.setenv(name, value)
        patch.setattr(kube_rollout, "LOOK_SECONDS", 0.02)
        settings.cache_clear()
        yield repository, cluster
    settings.cache_clear()


@pytest.fixture(scope="module")
def pushed(world, tiny, tmp_path_factory):
    """`penstock image --push` of both, by a podman that builds nothing."""
    program = tmp_path_factory.mktemp("bin") / "podman"
    program.write_text(PODMAN)
    program.chmod(0o755)
    for version in ("tiny-v1", "tiny-v2"):
        said = tiny.penstock(
            "image", "tiny", version, "--push", "registry.example.com/team/tiny", PATH=f"{program.parent}:/usr/bin:/bin"
        )
        assert "pushed:  registry.example.com/team/tiny@sha256:" in said
    return world


def deploy(version: str, **options):
    from flows.gitops import deploy_by_commit

    given = {"force": False, "reason": "", "wait": False} | options
    return deploy_by_commit(load_project("tiny"), version, **given)


def kinds(since: int = 0) -> list[tuple[str, str]]:
    known = ("canary", "promoted", "healthy", "held", "failed", "quarantined", "rolled back", "cleared")
    return [(each.kind, each.version) for each in read_ledger("tiny")[since:] if each.kind in known]


def test_without_an_image_in_a_registry_nothing_is_committed(world):
    repository, cluster = world
    with pytest.raises(RolloutError, match="No registry") as caught:
        deploy("tiny-v1")
    assert "penstock image tiny tiny-v1 --push" in caught.value.next_step
    assert (repository.subjects(), cluster.asked) == (["The manifests"], [])


def test_the_first_release_makes_the_folder_and_serves(pushed):
    repository, _ = pushed
    ended = deploy("tiny-v1")
    assert (ended.result, ended.serving) == ("healthy", "tiny-v1")
    assert kinds() == [("promoted", "tiny-v1"), ("healthy", "tiny-v1")]
    assert repository.subjects()[1:] == ["tiny: tiny-v1 is to serve in production"]
    files = git(repository.remote, "show", "--name-only", "--format=", "main").split()
    names = ("kustomization.yaml", "namespace.yaml", "release/kustomization.yaml", "release/rollout.yaml")
    assert files == [f"{FOLDER}/{name}" for name in names]
    assert deploy("tiny-v1").result == "serving already"


def test_a_commit_says_who_what_and_which_event_of_the_ledger(pushed):
    repository, _ = pushed
    made = ledger.find(read_ledger("tiny"), "tiny-v1")
    name, mail, body = git(repository.remote, "log", "-1", "--format=%an%n%ae%n%B", "main").split("\n", 2)
    assert name == read_ledger("tiny")[-1].by and "@" in mail
    assert f"Penstock-Identity: {made.identity}" in body
    assert f"Penstock-Ledger: {made.sequence} of" in body
    image = next(line for line in body.splitlines() if line.startswith("Penstock-Image: "))
    assert image.removeprefix("Penstock-Image: ").startswith("registry.example.com/team/tiny@sha256:")


def test_one_that_the_cluster_fails_is_taken_back_to_the_byte_and_in_quarantine(pushed):
    repository, cluster = pushed
    before, since = repository.release(), len(read_ledger("tiny"))
    cluster.outcome = "failed"
    ended = deploy("tiny-v2")
    assert (ended.result, ended.serving) == ("failed", "tiny-v1")
    assert ended.reasons == ("errors: failed, measured [12.5]",)
    subjects = repository.subjects()[-2:]
    assert subjects == ["tiny: tiny-v2 is to serve in production", "tiny: tiny-v2 failed in production"]
    assert repository.release() == before != repository.release("main~1")
    assert kinds(since) == [("canary", "tiny-v2"), ("failed", "tiny-v2"), ("quarantined", "tiny-v2")]
    failed = read_ledger("tiny")[-1]
    assert failed.facts["commit"] == git(repository.remote, "rev-parse", "main").strip()
    with pytest.raises(RolloutError, match="in quarantine"):
        deploy("tiny-v2")


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ("inconclusive", "requests: inconclusive, measured []"),
        ("error", "errors: error, connection refused"),
        ("stuck", "step 1 of 6, 50 %: it did not get on for"),
    ],
)
def test_without_evidence_it_is_held_and_taken_back_and_not_in_quarantine(pushed, outcome, why):
    repository, cluster = pushed
    before, since = repository.release(), len(read_ledger("tiny"))
    cluster.outcome = outcome
    ended = deploy("tiny-v2", force=True, reason="again")
    assert (ended.result, ended.serving) == ("held", "tiny-v1")
    assert ended.reasons[0].startswith(why)
    assert repository.release() == before
    assert kinds(since)[-1] == ("held", "tiny-v2") and ("quarantined", "tiny-v2") not in kinds(since)


def test_while_the_api_is_silent_nothing_is_undone_and_the_next_deploy_takes_it_up(pushed):
    repository, cluster = pushed
    cluster.outcome = "silent"
    since = len(read_ledger("tiny"))
    with pytest.raises(PlatformError, match="does not answer"):
        deploy("tiny-v2")
    assert repository.subjects()[-1] == "tiny: tiny-v2 is to serve in production"
    cluster.outcome = "refuses"
    with pytest.raises(ConfigError, match="refuses"):
        deploy("tiny-v2")
    cluster.outcome, commits = "healthy", len(repository.subjects())
    assert deploy("tiny-v2").result == "healthy"
    assert len(repository.subjects()) == commits
    assert kinds(since) == [("canary", "tiny-v2"), ("promoted", "tiny-v2"), ("healthy", "tiny-v2")]


def test_a_rollback_commits_what_was_there_and_keeps_what_others_changed(pushed):
    repository, _ = pushed
    first = repository.release("main~1")
    assert "tiny-v1" in first and "tiny-v2" in repository.release()
    path = repository.colleague / FOLDER / "kustomization.yaml"
    git(repository.colleague, "pull", "--quiet", "origin", "main")
    path.write_text(path.read_text() + "commonAnnotations:\n  team.example.com/owner: us\n")
    repository.push(repository.colleague, "Whose it is")
    (repository.checkout / "notes").write_text("mine, and not committed")
    since = len(read_ledger("tiny"))
    assert (plan_rollback("tiny").target, plan_rollback("tiny").bad) == ("tiny-v1", "tiny-v2")
    done = roll_back("tiny", "it says late to everybody")
    assert (done.target, done.bad, done.after) == ("tiny-v1", "tiny-v2", "tiny-v1")
    assert "the manifests name tiny-v1 again (commit" in str(done) and "-n tiny-production" in str(done)
    assert kinds(since) == [("rolled back", "tiny-v1"), ("quarantined", "tiny-v2")]
    assert repository.subjects()[-2:] == ["Whose it is", "tiny: back to tiny-v1 in production"]
    assert repository.release() == first
    git(repository.clone, "pull", "--quiet")
    rollout = next(each for each in render(repository.clone / FOLDER) if each["kind"] == "Rollout")
    assert rollout["metadata"]["annotations"]["team.example.com/owner"] == "us"
    assert rollout["spec"]["template"]["metadata"]["labels"]["penstock.dev/version"] == "tiny-v1"
    assert "notes" not in git(repository.remote, "ls-tree", "-r", "--name-only", "main")
    with pytest.raises(RolloutError, match="no release"):
        roll_back("tiny", "once more")


def test_a_rollback_during_a_rollout_ends_it(pushed):
    _, cluster = pushed
    cluster.outcome, project = "stuck", load_project("tiny")
    release = gitops.kube_release("tiny", "tiny-v2")
    gitops.tell("tiny", "cleared", "tiny-v2", "again")
    gitops.commit_release.fn(release, project)
    assert roll_back("tiny", "no").bad == "tiny-v2"
    assert kube_rollout.watch("tiny-production", release, project.rollout) is None
    assert manifests.current("tiny").version == "tiny-v1"


def test_whoever_was_killed_before_the_ledger_knew_is_made_up_for(pushed):
    """The commit is made, and nothing after it."""
    _, cluster = pushed
    cluster.outcome, project = "healthy", load_project("tiny")
    release = gitops.kube_release("tiny", "tiny-v2")
    gitops.tell("tiny", "cleared", "tiny-v2", "again")
    gitops.commit_release.fn(release, project)
    said = {"Event": "failed", "Bad": "tiny-v2", "Champion": "tiny-v1", "Reason": "errors: failed"}
    commit = manifests.take_back("tiny", release, gitops.message(release, "tiny-v2 failed", said))
    since = len(read_ledger("tiny"))
    with pytest.raises(RolloutError, match="in quarantine"):
        deploy("tiny-v2")
    assert kinds(since) == [("failed", "tiny-v2"), ("quarantined", "tiny-v2")]
    assert read_ledger("tiny")[-1].facts["commit"] == commit
    deploy("tiny-v1")
    assert kinds(since)[2:] == []  # told once


def test_a_revert_by_hand_is_not_undone_by_a_rollback(pushed):
    repository, cluster = pushed
    cluster.outcome = "healthy"
    gitops.tell("tiny", "cleared", "tiny-v2", "again")
    assert deploy("tiny-v2").result == "healthy"
    git(repository.colleague, "pull", "--quiet", "--rebase", "origin", "main")
    git(repository.colleague, "revert", "--no-edit", "HEAD")
    git(repository.colleague, "push", "--quiet", "origin", "HEAD:main")
    subjects, since = repository.subjects(), len(read_ledger("tiny"))
    with pytest.raises(RolloutError, match="no command of Penstock's") as caught:
        roll_back("tiny", "bad")
    assert "--to tiny-v1" in caught.value.next_step
    assert roll_back("tiny", "bad", to="tiny-v1").commit == ""
    assert kinds(since) == [("rolled back", "tiny-v1"), ("quarantined", "tiny-v2")]
    assert repository.subjects() == subjects


def test_two_who_push_at_once_both_get_through(pushed, monkeypatch):
    """A colleague pushes between our look and our push."""
    repository, _ = pushed
    gitops.tell("tiny", "cleared", "tiny-v2", "again")
    real = manifests._push

    def late() -> None:
        git(repository.colleague, "pull", "--quiet", "--rebase", "origin", "main")
        (repository.colleague / "other").write_text("theirs")
        repository.push(repository.colleague, "Another's")
        real()

    monkeypatch.setattr(manifests, "_push", late)
    assert deploy("tiny-v2").result == "healthy"
    assert repository.subjects()[-2:] == ["Another's", "tiny: tiny-v2 is to serve in production"]
    told = next(event for event in reversed(read_ledger("tiny")) if event.kind == "canary")
    assert told.facts["commit"] == git(repository.remote, "rev-parse", "main").strip()


def test_a_remote_that_refuses_says_so_and_nothing_is_told(pushed, monkeypatch):
    since = len(read_ledger("tiny"))
    monkeypatch.setenv("PENSTOCK_MANIFESTS_REMOTE", "nowhere")
    settings.cache_clear()
    with pytest.raises(StorageError, match="git pull failed") as caught:
        roll_back("tiny", "bad")
    assert "nowhere" in caught.value.found
    assert len(read_ledger("tiny")) == since
    monkeypatch.setenv("PENSTOCK_MANIFESTS", "/nowhere")
    settings.cache_clear()
    with pytest.raises(ConfigError, match="does not name a git checkout"):
        roll_back("tiny", "bad")
    monkeypatch.undo()
    settings.cache_clear()


def test_the_flow_ends_in_a_state_that_says_why(pushed):
    """`flows.deploy.deploy` itself, without a Prefect server."""
    from flows.deploy import deploy as flow
    from flows.rollback import rollback

    _, cluster = pushed
    assert rollback.fn("tiny", "back").target == "tiny-v1"
    cluster.outcome = "inconclusive"
    state = flow.fn("tiny", "tiny-v2", force=True, reason="again")
    assert (state.name, state.type.value) == ("Held", "FAILED")
