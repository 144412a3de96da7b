"""Commands that people read name the environment, whatever stands around them."""

from __future__ import annotations

import pytest

from flows.cli import main
from penstock.next_command import VERBS, named


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("penstock up", "penstock up --env staging"),
        ("penstock down, then penstock up", "penstock down --env staging, then penstock up --env staging"),
        ("mend it, then: penstock deploy-flows", "mend it, then: penstock deploy-flows --env staging"),
        ('penstock rollback p --reason "..."; or wait', 'penstock rollback --env staging p --reason "..."; or wait'),
        ("`penstock up` puts it right", "`penstock up --env staging` puts it right"),
        ("penstock doctor again, with X=1", "penstock doctor --env staging again, with X=1"),
        ("penstock up --env production; penstock up", "penstock up --env production; penstock up --env staging"),
        ("penstock deploy p v1 --env=production", "penstock deploy p v1 --env=production"),
        ("the pool `penstock` is gone; penstock-flow", "the pool `penstock` is gone; penstock-flow"),
        ("penstock uploads nothing", "penstock uploads nothing"),
    ],
)  # fmt: skip
def test_a_command_names_the_environment(text, told):
    assert named(text, "staging") == told
    assert named(text, "") == text
    assert named(told, "staging") == told


def test_every_command_is_known():
    assert set(VERBS) == set(main.commands)
