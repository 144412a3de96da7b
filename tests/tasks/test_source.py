"""The closure of a task's source: what can change its result, and nothing that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.store import source


@pytest.fixture
def code(tmp_path: Path, monkeypatch, checkout) -> Path:
    """A code base of its own: tasks/one.py -> penstock/two.py (imported inside a function) -> penstock/three.py."""
    root = tmp_path / "code"
    for name, text in {
        "penstock/__init__.py": "",
        "penstock/two.py": "from penstock.three import number\n\n\ndef twice():\n    return 2 * number\n",
        "penstock/three.py": "number = 3\n",
        "penstock/other.py": "unrelated = 1\n",
        "tasks/__init__.py": "",
        "tasks/store/store.py": "plumbing = 1\n",
        "tasks/one.py": "import tasks.store.store\ndef run():\n    from penstock import two\n    return two.twice()\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(source, "CODE", root)
    return root


def test_it_follows_imports_inside_functions_and_stops_at_plumbing(code):
    assert list(source.closure("tasks.one")) == ["penstock/three.py", "penstock/two.py", "tasks/one.py"]


def test_a_change_of_a_helper_changes_it(code):
    before = source.closure("tasks.one")
    (code / "penstock" / "three.py").write_text("number = 4\n")
    after = source.closure("tasks.one")
    assert {path for path in before if before[path] != after[path]} == {"penstock/three.py"}


@pytest.mark.parametrize("text", ["# why\nnumber = 3\n", '"""What it is."""\n\nnumber   =   3\n'])
def test_comments_docstrings_and_formatting_do_not(code, text):
    before = source.closure("tasks.one")
    (code / "penstock" / "three.py").write_text(text)
    assert source.closure("tasks.one") == before


@pytest.mark.parametrize("name", ["penstock/other.py", "tasks/store/store.py"])
def test_what_it_does_not_use_and_plumbing_do_not(code, name):
    before = source.closure("tasks.one")
    (code / name).write_text("changed = True\n")
    assert source.closure("tasks.one") == before


def test_a_package_s_service_is_part_of_its_key(checkout):
    found = source.closure("tasks.packaging.packaging")
    assert {"bentos/service.py", "bentos/build.py", "penstock/rows.py"} <= set(found)
