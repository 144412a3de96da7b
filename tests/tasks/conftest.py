"""What the tests of several files of this folder begin with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.platform import alerting, platform
from tests.conftest import REPOSITORY
from tests.place import Place


@pytest.fixture
def client(live) -> Iterator[Any]:
    """A client of the session's server, which starts and is left without automations and channels of ours."""
    platform.prefect_environment()
    from prefect.client.orchestration import get_client

    def clear() -> None:
        for each in found.read_automations():
            found.delete_automation(each.id)
        for channel in ("ops", "mail", "science"):
            alerting.remove_channel(found, channel)

    with platform.connected(), get_client(sync_client=True) as found:
        clear()  # other tests of this session deploy projects, too
        yield found
        clear()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("platform")
    shutil.copytree(REPOSITORY / "tests" / "tiny", root, dirs_exist_ok=True)
    found = Place(root)
    try:
        yield found
    finally:
        found.ask("platform.down()")
