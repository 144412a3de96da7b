"""What Prefect makes of the flows' parameters: their types stand in other files than the wrapper that it is given.

In a process of its own, because Prefect remembers the environment that it was imported in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

LOOK = """
import importlib, json, pkgutil
import flows
from flows.lifecycle import DeferredFlow
from prefect import Flow

found = {}
for module in pkgutil.iter_modules(flows.__path__):
    for name, each in vars(importlib.import_module(f"flows.{module.name}")).items():
        if isinstance(each, DeferredFlow | Flow):
            flow = getattr(each, "prefect_flow", each)
            wanted = flow.parameters.required or []
            try:
                taken = [*flow.validate_parameters(dict.fromkeys(wanted, "x"))]
            except Exception as error:
                taken = f"{type(error).__name__}: {error}"
            kinds = [key for key, value in flow.parameters.properties.items() if "type" in value]
            found[name] = {"wanted": wanted, "taken": taken, "kinds": kinds}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, dict[str, list[str]]]:
    home = tmp_path_factory.mktemp("home")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "PREFECT_"))}
    environment |= {"PENSTOCK_ROOT": str(REPOSITORY), "PENSTOCK_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    ran = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True, env=environment,
                         cwd=REPOSITORY)  # fmt: skip
    return json.loads(ran.stdout)


def test_all_of_them_were_found(found):
    assert {"train", "deploy", "score", "monitor", "bless", "rollback"} <= found.keys()


def test_a_flow_takes_what_its_function_takes(found):
    refused = {name: each["taken"] for name, each in found.items() if not isinstance(each["taken"], list)}
    assert refused == {}
    assert {name for name, each in found.items() if not set(each["wanted"]) <= set(each["taken"])} == set()


def test_the_ui_is_told_a_type(found):
    assert {name for name, each in found.items() if not each["kinds"]} == set()
