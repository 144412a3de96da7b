"""Who acts, as the ledger says it."""

from __future__ import annotations

import getpass
import os
import socket

CI_AUTHORS = {
    "GITHUB_ACTOR": "GitHub Actions",
    "GITLAB_USER_LOGIN": "GitLab CI",
    "CIRCLE_USERNAME": "CircleCI",
    "BUILD_TAG": "Jenkins",
}


def author() -> str:
    """Who acts: the CI job's name for it if there is one, else user@host."""
    for variable, system in CI_AUTHORS.items():
        if os.environ.get(variable):
            return f"{os.environ[variable]} ({system})"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no entry for this number in the password file: containers
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
