"""The bill of materials: what is installed, with the pins' hashes and the licences that the packages declare."""

from __future__ import annotations

import json
from pathlib import Path

from tasks.packaging.sbom import bill_of_materials
from tasks.packaging.serving_env import serving_python, serving_requirements
from tasks.store.store import locate, read_bytes

A, B, C = "a" * 64, "b" * 64, "c" * 64
PINS = f"""\
# a comment
two-words==2.0 \\
    --hash=sha256:{B} \\
    --hash=sha256:{A}
elsewhere==1 ; sys_platform == 'win32' \\
    --hash=sha256:{C}
plain==1.0 \\
    --hash=sha256:{C}
wordy==3
"""


def environment(folder: Path, packages: dict[str, str]) -> Path:
    """A virtual environment's layout with nothing in it but metadata; returns its Python."""
    for name, declared in packages.items():
        info = folder / "lib" / "python3.11" / "site-packages" / f"{name}.dist-info"
        info.mkdir(parents=True)
        title, _, version = name.partition("-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {title}\nVersion: {version}\n{declared}\n")
    return folder / "bin" / "python"


def test_every_installed_package_with_its_hashes_and_licences(tmp_path):
    packages = {
        "Two_Words-2.0": "License-Expression: MIT OR Apache-2.0\nClassifier: License :: OSI Approved :: MIT License",
        "plain-1.0": "License: BSD\nClassifier: License :: OSI Approved :: BSD License\nClassifier: Topic :: Software",
        "wordy-3": f"License: {'All rights ' * 20}",
    }
    found = bill_of_materials(environment(tmp_path, packages), PINS.encode())["components"]
    assert [component["purl"] for component in found] == [
        "pkg:pypi/plain@1.0", "pkg:pypi/two-words@2.0", "pkg:pypi/wordy@3",
    ]  # fmt: skip
    plain, two, wordy = found
    assert [each["content"] for each in two["hashes"]] == [A, B]
    assert two["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert plain["licenses"] == [{"license": {"name": "BSD"}}, {"license": {"name": "BSD License"}}]
    assert "licenses" not in wordy  # a text is not a name


def test_the_order_on_disk_and_the_place_change_nothing(tmp_path):
    packages = {"plain-1.0": "License: MIT", "Two_Words-2.0": ""}
    first = bill_of_materials(environment(tmp_path / "a", packages), PINS.encode())
    backwards = dict(reversed(packages.items()))
    assert bill_of_materials(environment(tmp_path / "b", backwards), PINS.encode()) == first
    assert str(tmp_path) not in json.dumps(first)
    assert "serialNumber" not in first and "timestamp" not in first["metadata"]


def test_the_serving_environment_is_listed_whole(checkout):
    """The real one: each package has hashes, and each says what its licence is."""
    requirements = serving_requirements()
    pins = read_bytes(requirements)
    found = bill_of_materials(serving_python(locate(requirements)), pins)["components"]
    names = {component["name"] for component in found}
    assert {"bentoml", "xgboost-cpu", "numpy", "uvicorn"} <= names
    pinned = {line.partition("==")[0] for line in pins.decode().splitlines() if line[:1].isalnum()}
    assert names <= pinned
    assert all(component["hashes"] and component["licenses"] for component in found)
