"""The software bill of materials of a serving environment: CycloneDX 1.6, JSON.

Read from what is installed and from the pins it was installed from. Equal environments give equal documents: there is
no time and no serial number in it. Not in it: the interpreter and the packages of a container's base image.
"""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
LICENCE = "License :: "
LONGEST_NAME = 100  # some put the whole text of their licence where its name belongs


def bill_of_materials(python: Path, requirements: bytes) -> dict[str, Any]:
    """The document for the environment of ``python``, which was installed from ``requirements`` (pip's format)."""
    allowed = _allowed_hashes(requirements.decode())
    folder = next((python.parent.parent / "lib").glob("python*/site-packages"))
    found = [_component(each, allowed) for each in distributions(path=[str(folder)])]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "serving-environment",
                "name": "serving-environment",
                "version": hashlib.sha256(requirements).hexdigest()[:16],
            },
            "properties": [
                {"name": "penstock:hashes", "value": "every file of a version that the pins let be installed"}
            ],
        },
        "components": sorted(found, key=lambda component: component["purl"]),
    }


def _component(distribution: Distribution, allowed: dict[str, list[str]]) -> dict[str, Any]:
    name = _normal(distribution.metadata["Name"])
    purl = f"pkg:pypi/{name}@{distribution.version}"
    component: dict[str, Any] = {
        "type": "library", "bom-ref": purl, "name": name, "version": distribution.version, "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in allowed.get(name, [])],
    }  # fmt: skip
    licences = _licences(distribution)
    return component | ({"licenses": licences} if licences else {})


def _licences(distribution: Distribution) -> list[dict[str, Any]]:
    """What the package declares: an SPDX expression, or else the names it gives in its other fields."""
    declared = distribution.metadata
    for expression in declared.get_all("License-Expression") or []:
        return [{"expression": expression}]
    names = [name.strip() for name in declared.get_all("License") or []]
    names = [name for name in names if name and "\n" not in name and len(name) <= LONGEST_NAME]
    classifiers = declared.get_all("Classifier") or []
    names += [text.rpartition(" :: ")[2] for text in classifiers if text.startswith(LICENCE)]
    return [{"license": {"name": name}} for name in dict.fromkeys(names)]


def _allowed_hashes(requirements: str) -> dict[str, list[str]]:
    """{package: the SHA-256 of every file of it that may be installed, sorted}."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in requirements.splitlines():
        pin = PIN.match(line)
        name = _normal(pin[1]) if pin else name
        found.setdefault(name, []).extend(HASH.findall(line))
    return {package: sorted(set(hashes)) for package, hashes in found.items()}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
