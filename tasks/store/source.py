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

from tasks.store.store import remembering

CODE = Path(__file__).resolve().parents[2]
PACKAGES = frozenset({"penstock", "tasks", "flows", "bentos", "examples"})
PLUMBING = frozenset({
    "penstock/config.py", "penstock/errors.py", "penstock/ledger.py", "penstock/refs.py",
    "tasks/cluster/cluster.py", "tasks/data/cluster_files.py", "tasks/cluster/cluster_piece.py",
    "tasks/cluster/collective.py", "tasks/cluster/collective_part.py", "tasks/data/git.py", "tasks/data/project.py",
    "tasks/machine/memory.py", "tasks/machine/mortal.py", "tasks/machine/redaction.py", "tasks/machine/settings.py",
    "tasks/machine/steps.py", "tasks/store/artifacts.py", "tasks/store/bucket.py", "tasks/store/cache_keys.py",
    "tasks/store/caching.py", "tasks/store/copies.py", "tasks/store/known.py", "tasks/store/locks.py",
    "tasks/store/objects.py", "tasks/store/patience.py", "tasks/store/prefect_cache.py", "tasks/store/shared.py",
    "tasks/store/source.py", "tasks/store/store.py",
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
            if relative in PLUMBING or path.name == "__init__.py":  # what its folder holds, in words
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
