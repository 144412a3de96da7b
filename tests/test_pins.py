"""Every dependency that pyproject.toml names has a pinned version: an unpinned one is another environment tomorrow."""

import re
import tomllib

from tests.conftest import REPOSITORY

FILE = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def name(requirement: str) -> str:
    return re.split(r"[\s\[=<>!~;]", requirement)[0].lower().replace("_", "-")


def test_every_named_dependency_is_pinned():
    pins = FILE["tool"]["uv"]["constraint-dependencies"]
    assert all("==" in pin for pin in pins)
    groups = [FILE["project"]["dependencies"], *FILE["project"].get("optional-dependencies", {}).values()]
    groups += [[one for one in group if isinstance(one, str)] for group in FILE["dependency-groups"].values()]
    named = {name(each) for group in groups for each in group} - {"penstock"}
    assert named - {name(pin) for pin in pins} == set()
    assert {name(each) for each in FILE["tool"]["uv"]["build-constraint-dependencies"]} >= {
        name(each) for each in FILE["build-system"]["requires"]
    }


def test_the_serving_environment_has_the_pinned_versions():
    pins = {(name(pin), pin.split(" ")[0].split("==")[1]) for pin in FILE["tool"]["uv"]["constraint-dependencies"]}
    served = re.findall(r"^([\w.-]+)==([\w.+!-]+)", (REPOSITORY / "bentos/requirements.txt").read_text(), re.MULTILINE)
    assert served
    assert {(name(each), version) for each, version in served} - pins == set()
