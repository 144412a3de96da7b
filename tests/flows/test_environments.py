"""Environments at the command line: whose profile is read, and that production has to be named."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.cli_env import NAMED
from flows.compare import explain_gate, gate_page
from flows.history import history
from flows.status import status
from penstock import ledger
from penstock.errors import ConfigError
from penstock.notice import notice
from tasks.machine import environments
from tasks.machine.settings import settings
from tasks.registry.registry import find_champion, read_ledger, register
from tasks.registry.releases import tell
from tests.candidates import made

OWN = "PENSTOCK_HOME=${PENSTOCK_HOME}\n"


@pytest.fixture
def profiles(checkout):
    """Writes profiles into the checkout; what entering one did to this process is undone."""
    before = dict(os.environ)
    folder = checkout.root / "environments"
    folder.mkdir()

    def write(name, text=OWN):
        (folder / f"{name}.env").write_text(text)

    yield write
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()


def said(*arguments, **variables):
    settings.cache_clear()
    found = CliRunner().invoke(main, arguments, env=variables)
    return found.exit_code, found.output


def entered(name):
    os.environ["PENSTOCK_ENV"] = name
    settings.cache_clear()
    return settings()


VERBS = [
    ("run", "tiny"),
    ("deploy", "tiny"),
    ("bless", "tiny", "--reason", "x"),
    ("rollback", "tiny", "--reason", "x"),
    ("approve", "tiny", "tiny-v1", "--reason", "x"),
    ("reject", "tiny", "tiny-v1", "--reason", "x"),
    ("resume", "tiny", "--reason", "x"),
    ("gc", "--yes"),
    ("deploy-flows",),
    ("up",),
    ("down",),
    ("ingest", "tiny"),
    ("train", "tiny"),
    ("label", "tiny", "f.csv"),
    ("score", "tiny", "f.csv", "o.csv"),
    ("monitor", "tiny"),
    ("release", "tiny", "--from-ref", "HEAD"),
]


@pytest.mark.parametrize("arguments", VERBS, ids=lambda arguments: arguments[0])
def test_a_forgotten_variable_is_not_enough_for_production(profiles, checkout, arguments):
    profiles("production")
    code, text = said(*arguments, PENSTOCK_ENV="production")
    assert code == 2, text
    assert f"`{arguments[0]}` would act in `production`" in text and "--env production" in text
    assert not (checkout.home / "supervisor").exists() and not (checkout.home / "ledger").exists()


@pytest.mark.parametrize("arguments", [("approve", "tiny", "tiny-v1", "--reason", "x"), ("resume", "tiny")])
def test_named_on_the_command_it_goes_on(profiles, arguments):
    profiles("production")
    for command in ([*arguments, "--env", "production"], ["--env", "production", *arguments]):
        code, text = said(*command)
        assert code in (4, 9), text  # there is no release yet: the work itself says so
        for name in environments.OWN:
            os.environ.pop(name, None)
    code, text = said(*arguments, PENSTOCK_ENV="production", PENSTOCK_CONFIRM_ENV="production")
    assert code in (4, 9), text


@pytest.mark.parametrize("arguments", [("gc",), ("rollback", "tiny", "--dry-run"), ("history", "tiny")])
def test_looking_needs_no_name(profiles, arguments):
    profiles("production")
    code, text = said(*arguments, PENSTOCK_ENV="production")
    assert code in (0, 9) and "does not name it" not in text


def test_a_flow_called_from_python_asks_too(profiles, monkeypatch):
    from flows.bless import bless
    from flows.deploy import deploy

    profiles("production")
    entered("production")
    for flow in (deploy, bless):
        with pytest.raises(ConfigError, match="would act in `production`"):
            flow.fn("tiny")


def test_every_command_has_the_option_and_those_that_write_are_known():
    assert set(main.commands) >= NAMED
    for command in (main, *main.commands.values()):
        assert any("--env" in parameter.opts for parameter in command.params), command.name


def test_staging_needs_no_name_and_neither_does_nothing_at_all(profiles):
    profiles("staging")
    for variables in ({"PENSTOCK_ENV": "staging"}, {}):
        code, text = said("approve", "tiny", "tiny-v1", "--reason", "x", **variables)
        assert code == 4 and "There is no release" in text


def test_a_profile_says_where_things_are(profiles, checkout):
    profiles("staging", "# where staging is\n\nPENSTOCK_REMOTE='s3://ours/dvc' # data\nPENSTOCK_HOME=.penstock/there\n")
    del os.environ["PENSTOCK_HOME"]
    found = entered("staging")
    assert (found.remote, found.environment, found.env_kind) == ("s3://ours/dvc", "staging", "staging")
    assert found.home == checkout.root / ".penstock" / "there"
    assert environments.inherited()["PENSTOCK_REMOTE"] == "s3://ours/dvc"  # so a worker has it too
    (checkout.root / "environments" / "staging.env").unlink()
    assert entered("staging").remote == "s3://ours/dvc"  # a process that it starts does not read it again


def test_each_environment_has_a_home_of_its_own(profiles, checkout):
    del os.environ["PENSTOCK_HOME"]
    assert entered("development").home == checkout.root / ".penstock"
    profiles("staging", "")
    assert entered("staging").home == checkout.root / ".penstock" / "env" / "staging"


def test_no_secret_of_another_variable_is_handed_to_what_is_written_into_files(profiles):
    profiles("staging", OWN + "PENSTOCK_API_KEY=${STAGING_KEY}\nPENSTOCK_WORKERS=3\n")
    os.environ["STAGING_KEY"] = "hunter2"
    entered("staging")
    assert os.environ["PENSTOCK_API_KEY"] == "hunter2"
    handed = environments.inherited()
    assert handed["PENSTOCK_WORKERS"] == "3" and "hunter2" not in str(handed)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("stagin", OWN, "did you mean staging?"),
        ("../x", OWN, "This is no name of an environment."),
        ("staging", "PENSTOCK_HOM=x\n", "environments/staging.env:1"),
        ("staging", OWN + "\n\nPENSTOCK_REMOTE https://x\n", "environments/staging.env:4"),
        ("staging", OWN + "PENSTOCK_REMOTE=https://me:secret@x/y\n", "environments/staging.env:2"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(profiles, name, text, told):
    profiles("staging", text)
    code, found = said("status", PENSTOCK_ENV=name)
    assert code == 2 and told in found


def test_the_ledger_says_where_it_happened_and_each_environment_sees_its_own(profiles):
    register(made())
    tell("tiny", "promoted", "tiny-v1", "the first to serve")
    for name in ("staging", "production"):
        profiles(name)
    entered("staging")
    assert ledger.serving(read_ledger("tiny")) is None
    tell("tiny", "promoted", "tiny-v1", "took over")
    assert [(one.kind, one.environment) for one in read_ledger("tiny")] == [("registered", ""), ("promoted", "staging")]
    found = history("tiny")
    assert [one.environment for one in found.events] == ["", "", "staging"]
    assert [one.environment for one in found.tenures] == ["", "staging"]
    assert "in staging: took over" in str(found) and "served in staging from" in str(found)
    told = status("tiny").text()
    assert told.startswith("environment: staging\n") and "the first to serve" not in told
    event = read_ledger("tiny")[-1]
    assert notice(event).headline.startswith("tiny in staging: ")
    assert notice(event).next == ("penstock status --env staging tiny",)


def test_next_commands_name_the_environment_wherever_they_are_shown(profiles):
    from flows.lifecycle import rejected_state
    from penstock.errors import Rejected

    profiles("staging")
    register(made())
    code, text = said("approve", "tiny", "tiny-v1", "--reason", "x", "--env", "staging")
    assert (code, "next:    penstock deploy --env staging tiny tiny-v1" in text) == (0, True), text
    code, text = said("approve", "tiny", "tiny-v9", "--reason", "x", PENSTOCK_ENV="staging")
    assert (code, "next:    penstock status --env staging tiny" in text) == (4, True), text
    tell("tiny", "waiting", "tiny-v1", 'penstock approve tiny tiny-v1 --reason "..."')
    for command in (("status", "tiny"), ("history", "tiny")):
        text = said(*command, PENSTOCK_ENV="staging")[1]
        assert 'in staging: penstock approve --env staging tiny tiny-v1 --reason "..."' in text
    assert "tiny-v1 waits for a person: penstock approve --env staging" in said("status", PENSTOCK_ENV="staging")[1]
    assert rejected_state(Rejected("no", next_step="penstock report tiny")).message.endswith("--env staging tiny")

    profiles("production")
    for name in environments.OWN:
        os.environ.pop(name, None)
    text = said("history", "tiny", PENSTOCK_ENV="production")[1]  # what happened in staging is told as it is there
    assert 'in staging: penstock approve --env staging tiny tiny-v1 --reason "..."' in text
    text = said("status", "--json", PENSTOCK_ENV="production")[1]
    assert "--env" not in text


def test_a_process_of_one_environment_cannot_act_in_another(profiles):
    profiles("staging")
    profiles("production")
    entered("staging")
    code, text = said("status", "--env", "production")
    assert code == 2 and "cannot act in another" in text


def test_doctor_says_which_environment_it_is_what_it_sets_and_what_it_lacks(profiles):
    from tasks.operations.doctor_profile import profile

    def told():
        return [(one.level, f"{one.found} -> {one.mend}" if one.mend else one.found) for one in profile()]

    assert told() == [("ok", "development, without a profile")]
    profiles("staging")
    profiles("production", OWN + "PENSTOCK_REMOTE=s3://ours/dvc\nPENSTOCK_API_KEY=${KEY}\nPENSTOCK_APPROVAL=auto\n")
    assert told() == [("ok", "development, without a profile; --env takes production, staging")]
    os.environ["KEY"] = "hunter2"
    entered("production")
    found = told()
    assert found[:5] == [
        ("ok", "production, of kind production, by environments/production.env"),
        ("ok", "PENSTOCK_HOME is set"),
        ("ok", "PENSTOCK_REMOTE=s3://ours/dvc"),
        ("ok", "PENSTOCK_API_KEY is set"),
        ("ok", "PENSTOCK_APPROVAL=auto"),
    ]
    assert [(level, text.partition(":")[0]) for level, text in found[5:]] == [
        ("warn", "PENSTOCK_APPROVAL"),
        ("warn", "PENSTOCK_PROMOTE_FROM"),
    ]
    assert "write into environments/production.env: PENSTOCK_APPROVAL=manual" in found[5][1]
    assert "hunter2" not in str(found)
    text = said("doctor", "--env", "production")[1]
    assert "ok environment production, of kind production" in " ".join(text.split())


def test_the_gates_say_where_a_candidate_was_judged(profiles):
    register(made())
    assert " in " not in str(explain_gate("tiny")).partition("passed")[0]
    assert 'class="muted">in ' not in gate_page(explain_gate("tiny")).read_text()
    profiles("staging")
    entered("staging")
    register(made("d2", champion=find_champion(made("d2").lineage)))
    found = explain_gate("tiny")
    assert f"{found.made[:19].replace('T', ' ')} in staging: " in str(found)
    assert '<span class="muted">in staging</span>' in gate_page(found).read_text()
