"""What may be promoted: healthy in the environment before, and the same bytes."""

from __future__ import annotations

import pytest

from penstock.errors import RolloutError
from penstock.ledger import Event
from penstock.promotion import require_promotable, served
from penstock.refs import FileRef, Package

FILE = FileRef(name="f", sha256="0" * 64, size=1)
PACKAGE = Package(
    bento=FileRef(name="bento.tar", sha256="b" * 64, size=1), tag="p:1", digest="d" * 64, schema_spec=FILE
)
HEALTHY = ("registered", "promoted", "healthy")


def staging(*kinds: str, facts: dict[str, str] | None = None) -> list[Event]:
    return [
        Event(
            sequence=number, time="2026-01-01T00:00:00+00:00", kind=kind, project="p", version="p-v1", identity="i",
            by="me", reason="said", record=FILE, environment="staging",
            facts=(served(PACKAGE) if facts is None else facts) if kind == "healthy" else {},
        )
        for number, kind in enumerate(kinds, 1)
    ]  # fmt: skip


def refused(events: list[Event], package: Package = PACKAGE, image: str = "") -> str:
    with pytest.raises(RolloutError) as caught:
        require_promotable(events, "staging", "p-v1", served(package, image))
    return caught.value.text()


def test_what_was_healthy_there_may_come():
    require_promotable(staging(*HEALTHY), "staging", "p-v1", served(PACKAGE))
    require_promotable(
        staging(*HEALTHY, "quarantined", "cleared", "promoted", "healthy"), "staging", "p-v1", served(PACKAGE)
    )


def test_what_was_never_there_may_not():
    said = refused(staging("registered"))
    assert "it was never deployed in staging" in said and "penstock deploy p p-v1 --env staging" in said
    assert "it was never deployed in staging" in refused([])


@pytest.mark.parametrize("after", ["quarantined", "promoted"])
def test_what_is_no_longer_healthy_there_may_not(after):
    assert "was not found healthy in staging" in refused(staging(*HEALTHY, after))


def test_other_bytes_under_the_same_name_may_not():
    for other, shown in (
        ({"digest": "e" * 64}, "digest eeeeeeeeeeee here"),
        ({"bento": FILE}, "bento 000000000000 here"),
    ):
        said = refused(staging(*HEALTHY), PACKAGE.model_copy(update=other))
        assert "is not what staging served" in said and shown in said


def test_what_staging_did_not_record_may_not():
    assert "none recorded there" in refused(staging(*HEALTHY, facts={}))


def test_an_image_is_compared_with_the_one_that_served_if_one_did():
    image = "sha256:" + "1" * 64
    require_promotable(staging(*HEALTHY), "staging", "p-v1", served(PACKAGE, image))
    pushed = staging(*HEALTHY, facts=served(PACKAGE, image))
    require_promotable(pushed, "staging", "p-v1", served(PACKAGE, image))
    require_promotable(pushed, "staging", "p-v1", served(PACKAGE))
    assert "image 222222222222 here, 111111111111 there" in refused(pushed, image="sha256:" + "2" * 64)
