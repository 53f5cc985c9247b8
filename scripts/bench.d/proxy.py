"""`scripts/bench proxy`: the service proxy's rules in the kernel, by mode, beside what other programs do.

Costs are CPU time of the proxy and the commands it runs, each Service has ten endpoints. Everything happens in network
namespaces that end with it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
from dataclasses import asdict

_MODES = ("iptables", "nftables")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench proxy", description=__doc__.partition("\n")[0])
    parser.add_argument("--mode", choices=_MODES, action="append", help="only this mode")
    parser.add_argument("--services", default="1000,5000,10000", help="sizes (default 1000,5000,10000)")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # namespaces are removed then, too
    sizes = tuple(int(size) for size in options.services.split(","))
    text, rows = options.output == "text", []
    if text:
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    for mode in options.mode or _MODES:
        if text:
            print(f"\n{mode:<44} {'netsim':>9} {'':<3} {'peer':>9} {'ratio':>7} {'goal':>9}        who")
        for row in importlib.import_module(f"proxy_{mode}").measure(sizes):
            rows.append({"mode": mode, **asdict(row), "met": row.met})
            if text:
                print(row.render(), flush=True)
    if not text:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
