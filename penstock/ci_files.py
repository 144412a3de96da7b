"""The file of each CI system: where it is, and its text, of the one definition in `penstock/ci.py`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import yaml

from penstock import ci_circleci, ci_github, ci_gitlab, ci_jenkins
from penstock.ci import Stage, stages

System = Literal["github", "gitlab", "jenkins", "circleci"]

MARK = "Written by `penstock ci generate`"
NOTE = f"{MARK} of the stages that every CI system has; do not edit: see docs/ci.md of Penstock."


class _Text(yaml.SafeDumper):
    """Blocks of text as blocks, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Text.add_representer(str, _text)
_Text.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", ""))


def files(sources: tuple[str, ...] = ()) -> dict[System, tuple[str, str]]:
    """By CI system: the path in the checkout, and the text. ``sources``: as of `penstock.ci.stages`."""
    trees: dict[System, tuple[str, Callable[[tuple[Stage, ...]], dict[str, Any]]]] = {
        "github": (ci_github.PATH, ci_github.workflow),
        "gitlab": (ci_gitlab.PATH, ci_gitlab.pipeline),
        "circleci": (ci_circleci.PATH, ci_circleci.config),
    }
    wanted = stages(sources)
    found = {name: (path, f"# {NOTE}\n{_yaml(make(wanted))}") for name, (path, make) in trees.items()}
    found["jenkins"] = (ci_jenkins.PATH, f"// {NOTE}\n{ci_jenkins.jenkinsfile(wanted)}")
    return found


def _yaml(tree: dict[str, Any]) -> str:
    text: str = yaml.dump(tree, Dumper=_Text, sort_keys=False, width=200, allow_unicode=True)
    return text
