"""What is generated is up to date, and the docs speak of what is there."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
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


def test_the_reference_pages_are_the_code():
    spec = importlib.util.spec_from_file_location("reference", ROOT / ".ci" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.pages().items():
        assert (ROOT / "docs" / name).read_text() == text, "uv run python .ci/reference.py"


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
    assert [name for name in paths if not re.search("NAME|churn", name) and not (ROOT / name).exists()] == []


def test_nothing_names_a_registry():
    """Where packages come from is the machine's business: no registry's address is in the repository."""
    words = re.compile(r"https?://[\w.-]*(pypi|pythonhosted|npmjs|deb\.debian)[\w./-]*")
    for path in [ROOT / "pyproject.toml", ROOT / "bentos" / "requirements.txt", ROOT / ".ci" / "run"]:
        assert not words.search(path.read_text()), path.name


def build(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("sphinx", reason="the site's tools are not installed: uv sync --group docs")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(docs), str(site)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    site = tmp_path_factory.mktemp("site")
    built = build(ROOT / "docs", site)
    assert built.returncode == 0, built.stderr
    return site


def test_the_site_has_every_page_in_its_contents(site):
    contents = (site / "index.html").read_text()
    missing = [page for page in DOCS if f'href="{Path(page).stem}.html"' not in contents]
    assert [page for page in missing if page != "docs/index.md"] == []


def test_the_site_loads_nothing_from_elsewhere(site):
    """No fonts, scripts, pictures or counters of others: only links that a person follows lead away."""
    for path in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]*)\"", path.read_text()
        )
        assert loaded == [], path.name
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)]*", path.read_text()) == [], path.name


def test_links_that_lead_nowhere_stop_the_build(tmp_path):
    docs = tmp_path / "docs"
    (docs / "static").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "docs" / "conf.py", docs)
    shutil.copy(ROOT / "docs" / "static" / "site.css", docs / "static")
    (docs / "index.md").write_text("# A\n\n<!-- site\n```{toctree}\npage\n```\n-->\n")
    (docs / "page.md").write_text("# Page\n\n## Heading\n\n[up](#heading) [index](index.md)\n")
    assert build(docs, tmp_path / "clean").returncode == 0
    broken = ["[gates](gate.md)", "[gates](page.md#no-such-heading)", "![](images/none.png)"]
    (docs / "page.md").write_text("# Page\n\n## Heading\n\n" + "\n\n".join(broken) + "\n")
    built = build(docs, tmp_path / "broken")
    assert built.returncode != 0
    for name in ("gate.md", "no-such-heading", "images/none.png"):
        assert name in built.stderr
