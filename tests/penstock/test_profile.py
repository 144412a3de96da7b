"""Profiles of environments: what they may hold, and what a process takes from them."""

from __future__ import annotations

import pytest

from penstock.errors import ConfigError
from penstock.profile import Line, profile, taken
from penstock.profile_advice import lacking, shown

KNOWN = {
    "PENSTOCK_REMOTE", "PENSTOCK_APPROVAL", "PENSTOCK_ENV_KIND", "PENSTOCK_API_KEY", "PENSTOCK_WORKERS",
    "PENSTOCK_STORE", "PENSTOCK_PROMOTE_FROM", "PENSTOCK_TARGET",
}  # fmt: skip


def made(name="production", **lines):
    numbered = [Line(name=key, text=text, number=place) for place, (key, text) in enumerate(lines.items(), 1)]
    return profile(name, f"environments/{name}.env", numbered, KNOWN)


@pytest.mark.parametrize(
    ("key", "text", "why"),
    [
        ("PENSTOCK_API_KEY", "hunter2", "its name says so"),
        ("PREFECT_API_AUTH_STRING", "admin:hunter2", "its name says so"),
        ("PENSTOCK_ALERT_OPS", "https://example.org/hunter2", "its name says so"),
        ("AWS_SECRET_ACCESS_KEY", "x${NAME}hunter2", "its name says so"),
        ("PENSTOCK_REMOTE", "https://me:hunter2@example.org/dvc", "its address has a password"),
        ("PENSTOCK_REMOTE", "https://example.org/dvc?access_token=hunter2", "its address has a password"),
        ("PENSTOCK_REMOTE", "s3://AKIAABCDEFGHIJKLMNOP/hunter2", "its value looks like a key"),
    ],
)
def test_a_secret_is_refused_with_file_and_line_and_is_not_shown(key, text, why):
    with pytest.raises(ConfigError, match="kept in git") as caught:
        made(PENSTOCK_WORKERS="2", **{key: text})
    said = caught.value.text()
    assert f"{key} is a secret" in said and "environments/production.env:2" in said and why in said
    assert "hunter2" not in said


def test_where_a_secret_is_kept_is_none():
    assert made(AWS_WEB_IDENTITY_TOKEN_FILE="/run/token", AWS_PROFILE="production").lines


def test_a_name_that_nothing_reads_is_told_with_the_one_that_was_meant():
    with pytest.raises(ConfigError) as caught:
        made(PENSTOCK_REMOTE="s3://a/b", PENSTOCK_APROVAL="manual")
    said = caught.value.text()
    assert "environments/production.env:2" in said and "did you mean PENSTOCK_APPROVAL?" in said


@pytest.mark.parametrize("name", ["PENSTOCK_ENV", "PENSTOCK_CONFIRM_ENV", "PENSTOCK_ROOT"])
def test_a_profile_cannot_say_which_environment_is_meant(name):
    with pytest.raises(ConfigError, match="cannot be set by a profile"):
        made(**{name: "production"})


def test_a_name_that_stands_twice():
    lines = [Line(name="PENSTOCK_REMOTE", text=text, number=number) for number, text in ((1, "a"), (4, "b"))]
    with pytest.raises(ConfigError) as caught:
        profile("staging", "s.env", lines, KNOWN)
    assert (caught.value.where, caught.value.found) == ("s.env:4", "also in line 1")


def test_the_kind_is_that_of_its_name_or_has_to_be_said():
    assert made("staging").kind == "staging"
    assert made("live", PENSTOCK_ENV_KIND="production").kind == "production"
    with pytest.raises(ConfigError, match="does not say what kind"):
        made("live")
    with pytest.raises(ConfigError, match="does not say what kind") as caught:
        made("live", PENSTOCK_ENV_KIND="prodution")
    assert caught.value.where == "environments/live.env:1"


def test_in_development_a_variable_wins():
    found = made("development", PENSTOCK_REMOTE="s3://dev/dvc", PENSTOCK_WORKERS="4")
    own = {"PENSTOCK_REMOTE": "/mine", "AWS_PROFILE": "me"}
    assert taken(found, own) == {"PENSTOCK_ENV_KIND": "development", "PENSTOCK_WORKERS": "4"}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_elsewhere_a_variable_that_says_otherwise_is_an_error_that_names_both(name):
    found = made(name, PENSTOCK_REMOTE=f"s3://{name}/dvc")
    with pytest.raises(ConfigError) as caught:
        taken(found, {"PENSTOCK_REMOTE": "s3://other/dvc"})
    said = caught.value.text()
    assert f"environments/{name}.env:1" in said and "unset PENSTOCK_REMOTE" in said
    assert "'s3://other/dvc' in the environment" in said and f"'s3://{name}/dvc' in the profile" in said
    assert taken(found, {"PENSTOCK_REMOTE": f"s3://{name}/dvc"})["PENSTOCK_REMOTE"] == f"s3://{name}/dvc"


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "PREFECT_API_URL", "PENSTOCK_API_KEY", "PENSTOCK_STORE"])
def test_what_another_environment_left_set_is_not_used(name):
    with pytest.raises(ConfigError, match=f"{name} is set, and the profile") as caught:
        taken(made(PENSTOCK_REMOTE="s3://a/b"), {name: "hunter2"})
    assert "hunter2" not in caught.value.text()


def test_a_secret_comes_from_the_variable_that_the_profile_names():
    found = made(PENSTOCK_API_KEY="${LIVE_KEY}", AWS_ACCESS_KEY_ID="${AWS_ACCESS_KEY_ID}")
    own = {"LIVE_KEY": "hunter2", "AWS_ACCESS_KEY_ID": "meant"}
    assert taken(found, own)["PENSTOCK_API_KEY"] == "hunter2"
    with pytest.raises(ConfigError, match="set to something else") as caught:
        taken(found, own | {"PENSTOCK_API_KEY": "hunter3"})
    assert "hunter" not in caught.value.text()
    with pytest.raises(ConfigError, match="the variable LIVE_KEY is not set"):
        taken(found, {"AWS_ACCESS_KEY_ID": "meant"})


def test_the_address_of_an_alert_need_not_stay_set():
    found = made(PENSTOCK_ALERT_OPS="${OPS}")
    assert "PENSTOCK_ALERT_OPS" not in taken(found, {})
    assert taken(found, {"OPS": "https://x"})["PENSTOCK_ALERT_OPS"] == "https://x"


@pytest.mark.parametrize(
    ("name", "lines", "names"),
    [
        ("production", {}, ["PENSTOCK_APPROVAL", "PENSTOCK_API_KEY", "PENSTOCK_PROMOTE_FROM", "PENSTOCK_REMOTE"]),
        ("production", {"PENSTOCK_APPROVAL": "auto", "PENSTOCK_TARGET": "gitops", "PENSTOCK_REMOTE": "s3://a/b",
                        "PENSTOCK_PROMOTE_FROM": "staging"}, ["PENSTOCK_APPROVAL", "PENSTOCK_STORE"]),
        ("production", {"PENSTOCK_APPROVAL": "manual", "PENSTOCK_API_KEY": "${KEY}", "PENSTOCK_REMOTE": "s3://a/b",
                        "PENSTOCK_PROMOTE_FROM": "staging", "PENSTOCK_STORE": "s3://a/c"}, []),
        ("staging", {}, ["PENSTOCK_REMOTE"]),
        ("development", {}, []),
    ],
)  # fmt: skip
def test_what_a_profile_of_its_kind_lacks(name, lines, names):
    assert [lack.name for lack in lacking(made(name, **lines), ["production", "staging"])] == names


def test_what_a_profile_sets_is_shown_without_what_may_be_a_secret():
    found = made(PENSTOCK_REMOTE="s3://a/b", PENSTOCK_API_KEY="${KEY}", PENSTOCK_STORE="s3://${BUCKET}/x",
                 PENSTOCK_ALERT_OPS="${HOOK}")  # fmt: skip
    values = {"PENSTOCK_API_KEY": "hunter2", "PENSTOCK_STORE": "s3://hunter2/x"}
    assert [shown(line, values) for line in found.lines] == [
        "PENSTOCK_REMOTE=s3://a/b",
        "PENSTOCK_API_KEY is set",
        "PENSTOCK_STORE is set",
        "PENSTOCK_ALERT_OPS is not set here; Prefect keeps it once it was told",
    ]
