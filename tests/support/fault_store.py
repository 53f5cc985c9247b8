"""`scripts/fault-store`."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from support.etcds import Etcd
from support.faults import Clients, kill_rounds


async def run(directory: Path, rounds: int, etcd: Etcd | None, kill_etcd: bool) -> Clients:
    """The rounds, with an etcd that is killed and started again now and then if that is asked for."""
    killer = asyncio.ensure_future(_kill(etcd)) if etcd is not None and kill_etcd else None
    try:
        return await kill_rounds(directory, rounds, etcd.url if etcd is not None else "", report=max(1, rounds // 20))
    finally:
        if killer is not None:
            killer.cancel()
            await asyncio.gather(killer, return_exceptions=True)


async def _kill(etcd: Etcd) -> None:
    while True:
        await asyncio.sleep(random.uniform(1, 5))
        etcd.stop()
        await asyncio.to_thread(etcd.start)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/fault-store", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--etcd", action="store_true", help="servers on etcd instead of SQLite")
    parser.add_argument("--kill-etcd", action="store_true", help="kill the etcd, too")
    options = parser.parse_args()
    if not 1 <= options.rounds <= 100_000:
        parser.error("--rounds: give a number from 1 to 100000")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="netsim-fault-") as directory:
        etcd = Etcd(Path(directory)) if options.etcd or options.kill_etcd else None
        try:
            if etcd is not None:
                etcd.start()
            clients = asyncio.run(run(Path(directory), options.rounds, etcd, options.kill_etcd))
        finally:
            if etcd is not None:
                etcd.stop()
    print(
        f"{options.rounds} kills in {time.monotonic() - start:.0f} s: {clients.acknowledged} writes acknowledged, "
        f"{clients.events} events seen, {len(clients.problems)} problems"
    )
    print("\n".join(clients.problems[:20]))
    sys.exit(bool(clients.problems))


if __name__ == "__main__":
    main()
