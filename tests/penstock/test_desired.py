"""What is desired is a value: each change gives a new one, and no route can name a release that has no servers."""

from __future__ import annotations

import pytest

from penstock.desired import (
    Desired,
    Note,
    Route,
    Server,
    unused,
    used,
    with_route,
    with_server,
    with_untold,
    without_servers,
    without_untold,
)
from penstock.errors import PlatformError
from penstock.refs import FileRef, Package
from penstock.release_config import LogConfig

FILE = FileRef(name="x", sha256="0" * 64, size=1)
PACKAGE = Package(bento=FILE, tag="p:1", digest="1" * 64, schema_spec=FILE)


def desired(*versions: str) -> Desired:
    found = Desired()
    for version in versions:
        project = version.rpartition("-")[0]
        server = Server(
            version=version,
            project=project,
            package=PACKAGE,
            max_body_bytes=1000,
            log=LogConfig(),
            workers=2,
            memory_mb=512,
        )
        found = with_server(found, server)
    return found


def test_changes_leave_the_value_of_before_as_it_was():
    before = desired("p-v1")
    after = with_route(before, "production", "p", Route(champion="p-v1"))
    assert before.production == {}
    assert after.route("production", "p") == Route(champion="p-v1")
    assert after.route("staging", "p") is None
    assert with_route(after, "production", "p", None) == before


@pytest.mark.parametrize("route", [Route(champion="p-v2"), Route(champion="p-v1", challenger="p-v2"),
                                   Route(champion="p-v1", fallback="p-v2")])  # fmt: skip
def test_a_route_to_a_release_without_servers_is_refused(route):
    with pytest.raises(PlatformError) as caught:
        with_route(desired("p-v1"), "production", "p", route)
    assert "p-v2" in caught.value.what
    assert caught.value.allowed == "p-v1"


def test_who_is_used_is_who_a_route_names_in_any_role_and_environment():
    found = desired("p-v1", "p-v2", "p-v3", "p-v4", "q-v1")
    found = with_route(found, "production", "p", Route(champion="p-v2", challenger="p-v3", fallback="p-v1"))
    found = with_route(found, "staging", "q", Route(champion="q-v1"))
    assert used(found) == {"p-v1", "p-v2", "p-v3", "q-v1"}
    assert unused(found, "p") == {"p-v4"}
    assert unused(found, "q") == set()
    assert without_servers(found, {"p-v4"}).servers.keys() == used(found)


def test_what_is_written_is_what_is_read():
    found = with_route(desired("p-v1"), "production", "p", Route(champion="p-v1"))
    assert Desired.model_validate_json(found.model_dump_json()) == found


def test_what_the_ledger_was_told_is_taken_out_and_nothing_else():
    first, second = (Note(change=word, kind="failed", version="p-v2", reason="no") for word in "ab")
    found = with_untold(with_untold(desired("p-v1"), "p", first), "q", first)
    told = found.untold["p"]
    found = without_untold(with_untold(found, "p", second), "p", told)  # another came while these were told
    assert found.untold == {"p": (second,), "q": (first,)}
    assert without_untold(found, "p", (second,)).untold == {"q": (first,)}
    assert Desired.model_validate_json(found.model_dump_json()) == found
