"""The commands of a page of the docs, in order, and what the page says that they print.

A block of `sh` is run as one script. In a block of `console`, each `$ command` is run, and what follows is compared
with what it prints; `...` stands for anything. A comment before a block, which no reader sees, changes that:

    <!-- test: exit 3 -->                       this exit code is right, no other
    <!-- test: only parsed, needs kubectl -->   not run, for this reason; the command line has to take it all the same
    <!-- test: first                            commands that the page does not show, run before the next block
    penstock monitor churn
    -->

`<!-- test: after tutorial.md -->` anywhere in a page: that page is run before.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
DIRECTIVE = re.compile(r"<!-- test: (exit|only parsed|first|after)[, ]?\s*(.*?)\s*-->", re.DOTALL)
HEREDOC = re.compile(r"<<\s*'?(\w+)'?[^\n]*\n.*?^\1$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Commands of a page. ``expected``: what they print, if the page says so. ``reason``: why they are not run."""

    page: str
    line: int
    script: str
    expected: str | None = None
    code: int = 0
    reason: str = ""


def tokens(page: str) -> list:
    return MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text())


def everything() -> list[str]:
    """The pages whose commands are for the reader to type, those that others go on from first."""
    found = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    bases = {name for page in found for name in after(page)}
    return sorted(found, key=lambda page: page not in bases)


def after(page: str) -> list[str]:
    """The pages, beside this one, that are run before it."""
    found = DIRECTIVE.findall((ROOT / page).read_text())
    return [os.path.normpath(Path(page).parent / name) for kind, name in found if kind == "after"]


def blocks(page: str) -> Iterator[Block]:
    code, reason = 0, ""
    for token in tokens(page):
        if token.type == "html_block":
            for kind, text in DIRECTIVE.findall(token.content):
                if kind == "first":
                    yield Block(page, token.map[0] + 1, text)
                code = int(text) if kind == "exit" else code
                reason = text if kind == "only parsed" else reason
        elif token.type == "fence" and token.info in ("sh", "console"):
            line = token.map[0] + 2
            if token.info == "sh":
                yield Block(page, line, token.content, None, code, reason)
            else:
                yield from _console(page, line, token.content, code, reason)
            code, reason = 0, ""


def _console(page: str, line: int, text: str, code: int, reason: str) -> Iterator[Block]:
    """``code`` is that of the last command."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    for number, part in enumerate(parts, 1):
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command += "\n" + more
        yield Block(page, line, command, output, code if number == len(parts) else 0, reason)
        line += part.count("\n")


def spans(page: str) -> Iterator[tuple[int, str]]:
    """The commands that the text itself names: (line, command)."""
    for token in tokens(page):
        for child in token.children or ():
            if child.type == "code_inline" and child.content.startswith("penstock "):
                yield token.map[0] + 1, child.content


def wrong(script: str, mention: bool = False) -> list[str]:
    """What the command line would not take, of every `penstock ...` in a script. A mention may leave things out."""
    from flows.cli import main

    said = []
    parent = click.Context(main, **main.context_settings)
    for words in _commands(script):
        name, *arguments = words
        if name.startswith("-"):
            continue
        if name not in main.commands:
            said.append(f"penstock {name}: no such command")
            continue
        try:
            main.commands[name].make_context(name, list(arguments), parent=parent)
        except click.exceptions.Exit:
            pass  # --help
        except click.MissingParameter as error:
            if not mention:
                said.append(f"penstock {shlex.join(words)}: {error.format_message()}")
        except click.ClickException as error:
            said.append(f"penstock {shlex.join(words)}: {error.format_message()}")
    return said


def _commands(script: str) -> Iterator[list[str]]:
    """The words after `penstock` of each command."""
    text = re.sub(r"(^|\s)#.*", "", HEREDOC.sub("", script).replace("\\\n", " "))
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not set(word) <= set("();<>|&\n"):
            words.append(word)
            continue
        if "penstock" in words[:4]:
            yield words[words.index("penstock") + 1 :] or ["--help"]
        words = []
