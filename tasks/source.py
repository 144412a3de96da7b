"""Which of our source files can change a task's result: the closure of its imports, by content.

Comments, formatting and docstrings do not count. Plumbing, which moves results but does not make them, does not
either: its names are in PLUMBING.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tasks.store import remembering

CODE = Path(__file__).resolve().parents[1]
PACKAGES = frozenset({"penstock", "tasks", "flows", "bentos", "examples"})
PLUMBING = frozenset({
    "penstock/__init__.py", "penstock/config.py", "penstock/errors.py", "penstock/ledger.py", "penstock/refs.py",
    "tasks/__init__.py", "tasks/artifacts.py", "tasks/bucket.py", "tasks/cache_keys.py", "tasks/caching.py",
    "tasks/cluster.py", "tasks/cluster_piece.py", "tasks/collective.py",
    "tasks/collective_part.py", "tasks/cluster_files.py",
    "tasks/copies.py", "tasks/git.py", "tasks/known.py", "tasks/locks.py", "tasks/memory.py", "tasks/mortal.py",
    "tasks/objects.py", "tasks/patience.py", "tasks/prefect_cache.py", "tasks/project.py", "tasks/redaction.py",
    "tasks/settings.py", "tasks/shared.py", "tasks/source.py", "tasks/steps.py", "tasks/store.py",
})  # fmt: skip


def closure(module: str) -> dict[str, str]:
    """``{path: digest}`` of every file of ours that ``module`` reaches by import, imports inside functions included."""
    found: dict[str, str] = {}
    todo = [module]
    seen: set[str] = set()
    with remembering() as memory:
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            path = _file(name)
            if path is None:
                continue
            relative = str(path.relative_to(CODE))
            if relative in PLUMBING:
                continue
            found[relative], imports = memory.value("source-1", path, partial(_read, path, name))
            todo.extend(imports)
    return dict(sorted(found.items()))


def _read(path: Path, module: str) -> list[object]:
    tree = ast.parse(path.read_bytes())
    imports = sorted(set(_imports(tree, module if path.name == "__init__.py" else module.rpartition(".")[0])))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            node.body = body[1:] or [ast.Pass()]
    return [hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports]


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in PACKAGES)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).strip(".")
            if base.partition(".")[0] in PACKAGES:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _file(module: str) -> Path | None:
    stem = CODE.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None
