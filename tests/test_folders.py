"""The folders of `tasks/`, in the order that ARCHITECTURE.md gives them: none imports a later one as it loads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def order() -> list[str]:
    lines = iter((REPOSITORY / "ARCHITECTURE.md").read_text().splitlines())
    next(line for line in lines if line.startswith("tasks/"))
    return " ".join(takewhile(lambda line: line.startswith(" "), lines)).split()


def loaded(nodes: list[ast.stmt]) -> Iterator[str]:
    """The folders of `tasks/` that a module imports as it loads: not inside functions, not for types alone."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tasks."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Try):
            yield from loaded(node.body)


def test_no_folder_of_tasks_imports_a_later_one_as_it_loads():
    place = {name: number for number, name in enumerate(order())}
    files = list((REPOSITORY / "tasks").glob("*/*.py"))
    assert {path.parent.name for path in files} == set(place)
    wrong = [
        f"{path.parent.name}/{path.name} imports {found}"
        for path in files
        for found in loaded(ast.parse(path.read_text()).body)
        if place[found] > place[path.parent.name]
    ]
    assert not wrong
