"""Starts a program with a part of its environment: `python -I -S exec_with.py NAME,NAME,... COMMAND ARGUMENT...`

Run as a file, with the standard library alone. Supervisord hands whatever it starts its own environment, which has the
secrets of whoever started it; here only the variables of these names go on.
"""

import os
import sys


def main() -> None:
    kept = set(sys.argv[1].split(","))
    environment = {name: value for name, value in os.environ.items() if name in kept}
    os.execve(sys.argv[2], sys.argv[2:], environment)  # noqa: S606


main()
