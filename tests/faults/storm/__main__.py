"""Both storms as a command."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.faults.storm import clustered, embedded
from tests.faults.storm.plan import FULL, FULL_ALONE, REDUCED, REDUCED_ALONE
from tests.support.valkey import Valkey


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.faults.storm")
    parser.add_argument("--full", action="store_true", help="the full storms, some minutes each")
    parser.add_argument("--seed", type=int, default=1, help="of what happens (not of when)")
    parser.add_argument("--folder", type=Path, help="keep databases, steps and outputs here")
    parser.add_argument("--only", choices=("cluster", "embedded"), help="one of the two")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="storm-"))
    broken = False
    for name, plan in (
        ("cluster", FULL if options.full else REDUCED),
        ("embedded", FULL_ALONE if options.full else REDUCED_ALONE),
    ):
        if options.only not in (None, name):
            continue
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        plan = replace(plan, seed=options.seed)
        print(f"--- {name}: {plan}")
        if name == "cluster":
            valkey = Valkey(durable=True).start()
            try:
                report = asyncio.run(clustered.run(place, valkey, plan, print))
            finally:
                valkey.stop()
        else:
            report = asyncio.run(embedded.run(place, plan, print))
        print(report)
        broken = broken or bool(report.broken)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
