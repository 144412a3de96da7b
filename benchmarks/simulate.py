"""Both simulations of the flights, in full: `uv run python -m benchmarks.simulate [--share 0.5] [--only concept]`.

Months 10 to 12 as they were, and with a planted shift: every row through the gateway, labels two days later. Prints
what `penstock simulate` prints and requests a second; about ten minutes on four cores.
"""

from __future__ import annotations

import argparse
import os
import sys

from flows.simulate import simulate
from penstock.simulation import SCENARIOS


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the rows")
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="only this scenario")
    given = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    for scenario in given.only or SCENARIOS:
        found = simulate("flights", scenario, share=given.share)
        print(found)
        print(f"  {found.requests / found.seconds:,.0f} requests a second over all, with everything between them")
        found.require_well()


if __name__ == "__main__":
    main()
