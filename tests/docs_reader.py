"""Somebody who types what the docs say, in a checkout of their own, and compares what comes with what a page shows."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from benchmarks.tiny import QUICK
from tests import docs_pages as pages
from tests.docs_pages import ROOT, Block
from tests.loopback import free_port

# what differs from one run to the next, and is as right as what the page shows
MASKS = (
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?", "TIME"),
    (r"\b\d[\d.]* (s|ms)\b", r"N \1"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b(?=[a-f]*\d)[0-9a-f]{8,}(\.\.\.)?", "HASH"),
    (r"\bpid \d+", "pid N"),
    (r"\b[\d,]+ requests", "N requests"),
)


class Reader:
    """Somebody who types what the pages say."""

    def __init__(self, root: Path, environments: Path) -> None:
        self.root, self.done = root, set[str]()
        self.shell = root.parent / "exported.sh"  # what the page has exported so far
        self.bases = {name for page in pages.everything() for name in pages.after(page)}
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        (root / ".penstock").mkdir()
        (root / ".penstock" / "environments").symlink_to(environments)
        self._small()
        self.ports = {name: str(free_port()) for name in ("8700", "8799")}  # those that the pages name
        self.groups: list[int] = []
        path = [str(Path(sys.executable).parent), *(each for each in os.environ["PATH"].split(":"))]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "PREFECT_"))},
            "PATH": ":".join(path),
            "PYTHONPATH": str(root),
            "PENSTOCK_ROOT": str(root),
            "PENSTOCK_PRODUCTION_PORT": self.ports["8700"],
            "PENSTOCK_STAGING_PORT": "0",
            "PENSTOCK_THREADS": "2",
            "UV_NO_SYNC": "1",  # `uv run` in the environment of these tests
            "UV_PROJECT_ENVIRONMENT": sys.prefix,
        }
        who = ["-c", "user.name=Reader", "-c", "user.email=reader@localhost"]
        for arguments in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "Penstock"]):
            subprocess.run(["git", *arguments], cwd=root, check=True)
        for name in ("name", "email"):
            subprocess.run(["git", "config", f"user.{name}", "reader@localhost"], cwd=root, check=True)

    def _small(self) -> None:
        """One project, one month of it, rollouts of seconds."""
        configs = self.root / "configs"
        for path in configs.glob("*.yaml"):
            if path.stem != "flights":
                path.unlink()
        tree = yaml.safe_load((configs / "flights.yaml").read_text())
        tree["data"]["until"] = "2013-01"
        tree["gate"]["min_rows"] = 1000
        tree["gate"]["metrics"] = {"auc": {"min": 0.55, "max_loss": 0.1}}
        tree["gate"].pop("slices")
        tree["train"]["rounds"] = 20
        tree["rollout"] = {**QUICK, "max_wait_seconds": 60}
        tree["serve"] = {"log": {"segment_seconds": 1}}
        head = "# yaml-language-server: $schema=project.schema.json\n"
        (configs / "flights.yaml").write_text(head + yaml.safe_dump(tree, sort_keys=False))
        deployed = yaml.safe_load((self.root / "prefect.yaml").read_text())
        kept = [each for each in deployed["deployments"] if each["name"] == "flights"]
        (self.root / "prefect.yaml").write_text(yaml.safe_dump({**deployed, "deployments": kept}, sort_keys=False))

    def types(self, script: str) -> tuple[int, str]:
        """(exit code, what the terminal shows)."""
        for named, free in self.ports.items():
            script = re.sub(rf"\b{named}\b", free, script)
        script = f". {self.shell}\n{script}\nexport -p > {self.shell}"
        run = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.groups.append(run.pid)
        shown, _ = run.communicate(timeout=200)
        return run.returncode, shown

    def leave(self) -> None:
        """Stop what runs in the checkout, and what a page left in the background."""
        self.types("penstock down")
        for group in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)

    def reads(self, page: str) -> tuple[int, list[Block]]:
        """Every page that goes before, and this one: how many blocks were run, and those that were not.

        What a page does to projects is taken back, unless others go on from it.
        """
        if page in self.done:
            return 0, []
        for before in pages.after(page):
            self.reads(before)
        self.done.add(page)
        if page in self.bases:
            return self._reads(page)
        projects = {path: path.read_bytes() for path in (self.root / "configs").rglob("*.yaml")}
        try:
            return self._reads(page)
        finally:
            for path, text in projects.items():
                path.write_bytes(text)

    def _reads(self, page: str) -> tuple[int, list[Block]]:
        run, parsed = 0, []
        self.shell.write_text("")
        for block in pages.blocks(page):
            assert pages.wrong(block.script) == [], f"{page}:{block.line}"
            if block.reason:
                parsed.append(block)
                continue
            code, shown = self.types(block.script)
            assert code == block.code, f"{page}:{block.line}\n{block.script}\nexit code {code}\n{shown}"
            if block.expected is not None:
                same(block, shown.replace(f"{self.root}/", ""))
            run += 1
        return run, parsed


def masked(text: str) -> str:
    for pattern, name in MASKS:
        text = re.sub(pattern, name, text)
    return "".join(" ".join(line.split()) + "\n" for line in text.strip().splitlines())


def shows(expected: str, shown: str) -> bool:
    """Whether a page that has ``expected`` tells what was ``shown``: `...` is anything, alone on a line any lines."""
    lines = masked(expected).splitlines()
    parts = ["(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n" for line in lines]
    return re.fullmatch("".join(parts), masked(shown)) is not None


def same(block: Block, shown: str) -> None:
    where = f"{block.page}:{block.line}\n$ {block.script}"
    told = f"{where}\n--- the page says\n{block.expected}\n--- the command says\n{shown}"
    assert shows(block.expected or "", shown), told


@contextlib.contextmanager
def reading(root: Path, environments: Path) -> Iterator[Reader]:
    """What runs in the checkout is stopped at the end."""
    reader = Reader(root, environments)
    try:
        yield reader
    finally:
        reader.leave()


def said(page: str, run: int, parsed: list[Block]) -> str:
    """For the end of the tests: what of the page was run, and what was not."""
    firsts = [f"  only parsed: {each.script.strip().splitlines()[0][:70]}  ({each.reason})" for each in parsed]
    return "\n".join([f"{page}: {run} run, {len(parsed)} only parsed", *firsts])
