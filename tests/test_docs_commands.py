"""Every command of README and the docs is run, in order, in a checkout; what needs more than that is parsed.

The checkout is the repository's own files, with `flights` cut down to one month and quick rollouts: the same commands,
in seconds. Port 8700 stands for whichever one is free. What goes on from the tutorial is in test_docs_tutorial.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import docs_pages as pages
from tests.docs_reader import Reader, reading, said

TUTORIAL = "docs/tutorial.md"
OTHERS = [page for page in pages.everything() if page != TUTORIAL and TUTORIAL not in pages.after(page)]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, environments) -> Iterator[Reader]:
    with reading(tmp_path_factory.mktemp("docs") / "penstock", environments) as one:
        yield one


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [page for page in OTHERS if any(pages.blocks(page))])
def test_every_command_of_the_page_does_what_the_page_says(page, reader, record_property):
    record_property("docs", said(page, *reader.reads(page)))


@pytest.mark.parametrize("page", [*pages.everything(), "ARCHITECTURE.md"])
def test_no_command_hides_from_the_tests(page):
    """Blocks say what they are, and commands that the text names exist."""
    found = pages.tokens(page)
    assert [token.content for token in found if token.type == "code_block"] == []
    assert [token.content for token in found if token.type == "fence" and not token.info] == []
    assert [token.info for token in found if token.type == "fence" and token.info in ("bash", "shell", "zsh")] == []
    assert [(line, each) for line, span in pages.spans(page) for each in pages.wrong(span, mention=True)] == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("penstock rollbak flights", "no such command"),
        ("true && penstock rollback flights --reson x", "No such option"),
        ("penstock score flights \\\n  in.csv", "Missing argument"),
        ("uv run penstock plan flights # all", ""),
        ("echo 'a\nb' | penstock status", ""),
    ],
)
def test_a_command_that_does_not_exist_is_found(script, said):
    found = pages.wrong(script)
    assert len(found) == (1 if said else 0)
    assert said in "".join(found)
