"""The stages of continuous integration, once, for every CI system: `penstock/ci_*.py` writes each one's file from this.

What a stage does is in its commands, and those are the same everywhere. What differs between CI systems is only how
each says when, where, with which secrets, and after what.
"""

from __future__ import annotations

from typing import Literal

from penstock.refs import Value

Event = Literal["change", "main", "tag", "schedule"]

MAIN = "main"  # the branch that releases come from, where a CI system does not tell which one that is
TAG = "release-"  # a tag of this beginning is a release path too
CRON = "0 6 * * 0"  # UTC: Sundays at six
PYTHON = "3.12"
ENVIRONMENT = "production"
RUNNER = "penstock"  # the label of the machine that serves
HOME = "PENSTOCK_HOME"  # where it keeps what it serves; as long as it is not set, nothing is released
RACE = "penstock-release"  # whoever holds this name releases; everybody else waits
REPORT = ".penstock/ci"
MINUTES = 60

INSTALL = ("command -v uv || python3 -m pip install --quiet uv", "uv sync --quiet")
# a command of ours in the environment that INSTALL made
CHECK = "uv run penstock ci check"
DATA = "uv run penstock ci data"
TRAIN = "uv run penstock ci train"
SHOW = "uv run penstock ci report"
INGEST = "uv run penstock ci data --ingest"
# the branch of the run, as GitHub, GitLab, CircleCI and Jenkins tell it: a schedule's is the one releases come from
BRANCH = "${GITHUB_REF_NAME:-${CI_COMMIT_BRANCH:-${CIRCLE_BRANCH:-${BRANCH_NAME:?}}}}"
PUSH = f'git push origin "HEAD:{BRANCH}"'
RELEASE = "uv run penstock ci release"
DEPLOY = "uv run penstock ci release --deploy"

VARIABLES = {
    "UV_CACHE_DIR": ".penstock/uv",
    "GIT_COMMITTER_NAME": "penstock",
    "GIT_COMMITTER_EMAIL": "penstock@localhost",
    "GIT_AUTHOR_NAME": "penstock",
    "GIT_AUTHOR_EMAIL": "penstock@localhost",
}
# the store too: in it is the ledger, which says who the champion is. `ci data` and `ci train` write nothing into it
READING = ("PENSTOCK_REMOTE", "PENSTOCK_STORE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
RELEASING = (
    *READING, "PENSTOCK_MLFLOW_URI", "PENSTOCK_API_KEY", "PENSTOCK_ENV", "PENSTOCK_CONFIRM_ENV",
)  # fmt: skip


class Cache(Value):
    """Folders that are kept from run to run, under a key made of ``files``; where none has that very key, the last one
    made serves: what is in it is named by content and checked, so an old one costs time and never a wrong result."""

    name: str
    paths: tuple[str, ...]
    files: tuple[str, ...]


UV = Cache(name="uv", paths=(".penstock/uv",), files=("pyproject.toml", "uv.lock"))
STORE = Cache(
    name="store",
    paths=(".penstock/store", ".penstock/cache", ".dvc/cache"),
    files=("pyproject.toml", "uv.lock", "configs/**", "data/*.dvc"),
)


class Stage(Value):
    """One job. ``needs``: stages that have to end well before. ``serves``: it runs on the machine that serves, and no
    two such stages at once. ``approval``: a person lets it begin. ``writes``: it pushes to the repository.
    ``posts``: it writes onto the pull request. ``always``: it runs also when a stage before it has failed.
    ``keeps``: what it found is handed on."""

    name: str
    on: tuple[Event, ...]
    commands: tuple[str, ...]
    needs: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    caches: tuple[Cache, ...] = (UV,)
    serves: bool = False
    approval: bool = False
    writes: bool = False
    posts: bool = False
    always: bool = False
    keeps: bool = False

    def runs_on(self, *events: Event) -> bool:
        return bool(set(events) & set(self.on))


STAGES = (
    Stage(name="check", on=("change", "main", "tag"), commands=(CHECK,), keeps=True),
    Stage(
        name="data",
        on=("change", "main", "tag"),
        commands=(DATA,),
        secrets=READING,
        caches=(UV, STORE),
        keeps=True,
    ),
    Stage(
        name="train",
        on=("change",),
        commands=(TRAIN,),
        needs=("data",),
        secrets=READING,
        caches=(UV, STORE),
        keeps=True,
    ),
    Stage(
        name="report",
        on=("change",),
        commands=(SHOW,),
        needs=("check", "data", "train"),
        posts=True,
        always=True,
        keeps=True,
    ),
    # a release restores no cache: what a pull request's code left behind is not what production is made of
    Stage(
        name="release",
        on=("main", "tag"),
        commands=(RELEASE,),
        needs=("check", "data"),
        secrets=RELEASING,
        caches=(),
        serves=True,
    ),
    Stage(
        name="deploy",
        on=("main", "tag"),
        commands=(DEPLOY,),
        needs=("release",),
        secrets=RELEASING,
        caches=(),
        serves=True,
        approval=True,
    ),
    # on main, the commit that this pushes runs the stages above: what is released is always what git pins
    Stage(
        name="retrain",
        on=("schedule",),
        commands=(INGEST, PUSH),
        secrets=READING,
        caches=(UV,),
        writes=True,
    ),
)


def stages(sources: tuple[str, ...] = ()) -> tuple[Stage, ...]:
    """`STAGES`; ``sources``: variables that data sources read, which only the stage that ingests may see."""
    return tuple(
        stage.model_copy(update={"secrets": (*stage.secrets, *sources)}) if stage.writes else stage for stage in STAGES
    )
