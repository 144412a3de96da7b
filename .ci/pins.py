"""Pins every version of the environment: `uv run python .ci/pins.py` (with `--upgrade`: to the newest that fit).

Writes `[tool.uv] constraint-dependencies` of pyproject.toml, which makes every resolution give exactly these versions
without a lock file (uv.lock holds download addresses and stays out of git), and bentos/requirements.txt, the serving
environment with a hash for every file it may install.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = [sys.executable, "-m", "uv"]
GROUPS = (["--all-extras", "--group", "dev", "--group", "examples", "--group", "docs"], ["--only-group", "serve"])
HEADER = """\
# What a model server installs: the `serve` group of pyproject.toml, every version and every file's hash.
# Written by `uv run python .ci/pins.py`; do not edit.
"""


def main() -> None:
    pyproject = ROOT / "pyproject.toml"
    text = pyproject.read_text()
    if "--upgrade" in sys.argv:
        pyproject.write_text(_with_pins(text, []))
        (ROOT / "uv.lock").unlink(missing_ok=True)
    _run(*UV, "lock")
    pins: set[str] = set()
    for group in GROUPS:
        exported = _run(*UV, "export", "--no-hashes", "--no-annotate", "--no-header", "--no-emit-project", *group)
        pins |= {line.strip() for line in exported.splitlines() if "==" in line}
    pyproject.write_text(_with_pins(text, sorted(pins, key=str.lower)))
    _run(*UV, "lock")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:  # `pip compile` does not read ours
        constraints.write("\n".join(sorted(pins)))
        constraints.flush()
        hashed = _run(
            *UV, "pip", "compile", "--group", "serve", "--universal", "--generate-hashes", "--no-emit-index-url",
            "--no-emit-find-links", "--no-annotate", "--no-header", "--python-version", "3.11",
            "--constraint", constraints.name,
        )  # fmt: skip
    (ROOT / "bentos" / "requirements.txt").write_text(HEADER + hashed)
    served = re.findall(r"^\S+==", hashed, re.MULTILINE)
    print(f"{len(pins)} pins, {len(served)} of them in the serving environment")


def _with_pins(text: str, pins: list[str]) -> str:
    block = (
        "constraint-dependencies = [\n"
        + "".join(f'  "{pin}",\n' for pin in (p.replace('"', "'") for p in pins))
        + "]\n"
    )
    list_of_pins = r"^constraint-dependencies = \[(?:\]|.*?^\])\n"
    made, found = re.subn(list_of_pins, lambda _: block, text, flags=re.DOTALL | re.MULTILINE)
    if found != 1:
        sys.exit(f"pyproject.toml has {found} lists `constraint-dependencies`, not one.")
    return made


def _run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
