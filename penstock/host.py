"""One machine and home of several that share a ledger: how events name it, and which events are its own."""

from __future__ import annotations

import re

from pydantic import Field

from penstock.refs import Value

ID = re.compile(r"#([0-9a-f]{12})$")


class Host(Value):
    """``id`` is what it is; ``name`` (hostname:home) is for people, and may change: a container's does at each start.

    ``former``: what it was called when it got its id. Events from before name it so. Where nothing is shared, all are
    "".
    """

    id: str = Field(default="", pattern=r"^([0-9a-f]{12})?$")
    name: str = ""
    former: str = ""

    def __str__(self) -> str:
        return f"{self.name}#{self.id}" if self.id else ""

    def wrote(self, host: str) -> bool:
        """Whether an event that says ``host`` is of this machine; one that says nothing is of whoever reads it."""
        found = ID.search(host)
        return found[1] == self.id if found else host in ("", self.name, self.former)
