"""What is generated is up to date, and the docs speak of what is there."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from penstock.config import json_schema, parse
from penstock.schema import parse_schema

ROOT = Path(__file__).resolve().parents[1]


def test_the_config_reference_is_the_config(tmp_path):
    spec = importlib.util.spec_from_file_location("config_reference", ROOT / ".ci" / "config_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "config.md").read_text() == module.page(), "uv run python .ci/config_reference.py"


def test_the_json_schema_that_editors_use_is_the_config():
    found = json.loads((ROOT / "configs" / "project.schema.json").read_text())
    assert found == json_schema(), "uv run penstock schema > configs/project.schema.json"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_project_of_the_repository_is_right_and_points_editors_at_the_schema(path):
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=project.schema.json\n")
    project = parse(text, path.name)
    parse_schema((path.parent / project.schema_file).read_text(), project.schema_file)


DOCS = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", *DOCS]


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_in_the_docs_lead_somewhere(page):
    path = ROOT / page
    text = path.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", text) if "://" not in link]
    folders = r"flows|tasks|penstock|bentos|configs|examples|benchmarks|docs|deploy/prometheus|deploy/grafana|\.ci"
    paths = re.findall(rf"`((?:{folders})/[\w./-]+)`", text)
    assert [link for link in links if not (path.parent / link).exists()] == []
    assert [name for name in paths if "NAME" not in name and not (ROOT / name).exists()] == []


def test_nothing_names_a_registry():
    """Where packages come from is the machine's business: no registry's address is in the repository."""
    words = re.compile(r"https?://[\w.-]*(pypi|pythonhosted|npmjs|deb\.debian)[\w./-]*")
    for path in [ROOT / "pyproject.toml", ROOT / "bentos" / "requirements.txt", ROOT / ".ci" / "run"]:
        assert not words.search(path.read_text()), path.name
