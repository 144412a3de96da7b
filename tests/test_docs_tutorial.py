"""The tutorial and the how-tos that go on from it, as test_docs_commands.py does the other pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import docs_pages as pages
from tests.docs_reader import Reader, masked, reading, said, shows

TUTORIAL = "docs/tutorial.md"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, environments) -> Iterator[Reader]:
    with reading(tmp_path_factory.mktemp("tutorial") / "penstock", environments) as one:
        yield one


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [TUTORIAL, *(page for page in pages.everything() if TUTORIAL in pages.after(page))])
def test_every_command_of_the_page_does_what_the_page_says(page, reader, record_property):
    record_property("docs", said(page, *reader.reads(page)))


def test_what_differs_between_runs_is_masked_and_nothing_else():
    page = "  train model   0.5 s  33 trees, 6ea176ac0501; 1,556 requests at http://127.0.0.1:8700, 2026-11-21 15:07"
    here = "  train model   12.5 s  33 trees, 0ea176ac0502; 3 requests at http://127.0.0.1:1234, 2027-01-01 00:00"
    assert masked(page) == masked(here)
    assert masked(page) != masked(here.replace("33 trees", "34 trees"))


def test_dots_stand_for_anything_and_the_rest_has_to_be_there():
    assert shows("...\nb  2 of 3\n...", "a\nb 2 of 3\nc\n")
    assert shows("...\nb\n", "b\n")
    assert shows("a ... c", "a b c")
    assert not shows("...\nb\n", "a\nb\nc\n")
    assert not shows("a ... c", "a b\nc")
