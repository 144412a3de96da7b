"""What putting files onto a server has done there, thing by thing."""

from __future__ import annotations

from typing import Literal

from penstock.refs import Value

Done = Literal["created", "updated", "removed", "kept"]


class Change(Value):
    """One thing on the server and what was done to it."""

    done: Done
    kind: Literal["work pool", "deployment", "schedule", "channel", "automation"]
    name: str

    def __str__(self) -> str:
        return f"  {self.done:<8} {self.kind:<11} {self.name}"
