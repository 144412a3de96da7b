"""What a person sees: one line a step while flows run, a spinner on the one that goes on, reports and errors as text.

Commands in it name the environment that is in force: here, and so nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import click

from penstock.errors import PenstockError
from penstock.next_command import named
from tasks.machine import environments, steps
from tasks.machine.steps import StepEvent

MARKS = {"done": ("✓", "green"), "cached": ("=", "cyan"), "failed": ("✗", "red")}


def say(text: object, *, err: bool = False) -> None:
    """Print what a command has to say; JSON (`--json`) as it is."""
    context = click.get_current_context(silent=True)
    as_json = context is not None and context.params.get("as_json") and not err
    click.echo(text if as_json else named(str(text), environments.current()), err=err)


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """Print every step that ends, to stderr, so that stdout stays for results."""
    view = _View()
    steps.listeners.append(view.show)
    try:
        yield
    finally:
        steps.listeners.remove(view.show)
        view.stop()


class _View:
    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.status: Any = None
        self.running: dict[str, float] = {}
        self.lock = threading.Lock()

    def show(self, event: StepEvent) -> None:
        with self.lock:
            if event.state == "started":
                self.running[event.name] = time.monotonic()
                self._spin(event.name)
            elif event.state == "progress":
                self._spin(f"{event.name}: {event.summary}")
            else:
                self.running.pop(event.name, None)
                if event.state != "quiet":
                    self._line(event)
                self._spin(next(reversed(self.running), ""))

    def stop(self) -> None:
        with self.lock:
            self._spin("")

    def _line(self, event: StepEvent) -> None:
        from rich.markup import escape

        mark, color = MARKS[event.state]
        took = "unchanged" if event.state == "cached" else f"{event.seconds:.1f} s"
        said = named(event.summary, environments.current())
        self.console.print(f"  [{color}]{mark}[/] {event.name:<19}[dim]{took:>10}[/]  {escape(said)}")

    def _spin(self, text: str) -> None:
        if not self.console.is_terminal:
            return
        if not text:
            if self.status:
                self.status.stop()
                self.status = None
        elif self.status:
            self.status.update(text)
        else:
            self.status = self.console.status(text)
            self.status.start()


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """Ends the process with a message and an exit code instead of a traceback, for everything that was foreseeable.

    `PENSTOCK_DEBUG=1` shows the traceback as well.
    """
    try:
        yield
    except PenstockError as error:
        if os.environ.get("PENSTOCK_DEBUG"):
            raise
        _fail(error.text(), error.exit_code)
    except KeyboardInterrupt:
        _fail("Interrupted. What was finished is kept; run the command again to go on.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except MemoryError:
        _fail("Out of memory.\n  next:    lower `train.memory_budget_mb`, or use a larger machine", 1)
    except OSError as error:
        if os.environ.get("PENSTOCK_DEBUG"):
            raise
        where = f"\n  where:   {error.filename}" if error.filename else ""
        said = f"The operating system said no: {error.strerror or error}."
        _fail(f"{said}{where}\n  next:    see the message, then run the command again", 8)


def _fail(text: str, code: int) -> None:
    from rich.console import Console

    first, _, rest = named(text, environments.current()).partition("\n")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"✗ {first}", style="bold red", markup=False)
    if rest:
        console.print(rest, markup=False)
    sys.exit(code)
