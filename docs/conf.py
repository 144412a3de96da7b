"""How the pages of this folder become a site: `uv run --group docs sphinx-build -W docs .site`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "Penstock"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["images"]

myst_heading_anchors = 4  # as GitHub names them
myst_links_external_new_tab = False
highlight_language = "none"

html_theme = "furo"  # system fonts, no script from elsewhere: the site calls nothing
html_title = f"Penstock {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False

# What only the site needs stands in a comment, which GitHub does not show: toctrees, and pages of other folders.
# Links to those pages are for GitHub alone.
SITE_ONLY = re.compile(r"<!-- site\n(.*?)\n-->", re.DOTALL)
GITHUB_ONLY = re.compile(r"<!-- github -->.*?<!-- /github -->", re.DOTALL)


def setup(app: Sphinx) -> None:
    app.connect("source-read", _as_the_site_has_it)


def _as_the_site_has_it(_app: Sphinx, _page: str, source: list[str]) -> None:
    source[0] = GITHUB_ONLY.sub("", SITE_ONLY.sub(r"\1", source[0]))
