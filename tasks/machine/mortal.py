"""What to put before a command so that the process ends with the one that started it (`exec_child.py`, beside)."""

from __future__ import annotations

import sys
from pathlib import Path

MORTAL = [sys.executable, str(Path(__file__).with_name("exec_child.py"))]
