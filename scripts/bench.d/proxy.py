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
from collections.abc import Iterator
from dataclasses import asdict

from proxy_load import Row

_MODES = ("iptables", "nftables")


def _rows(mode: str, sizes: tuple[int, ...], kube_proxy: str | None) -> Iterator[Row]:
    """A mode's rows; of mode iptables first those beside the real kube-proxy, where there is one."""
    peer = importlib.import_module("proxy_peer")
    if mode == "iptables" and (program := peer.find_kube_proxy(kube_proxy)):
        yield from peer.measure(program)
    yield from importlib.import_module(f"proxy_{mode}").measure(sizes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench proxy", description=__doc__.partition("\n")[0])
    parser.add_argument("--mode", choices=_MODES, action="append", help="only this mode")
    parser.add_argument("--services", default="1000,5000,10000", help="sizes (default 1000,5000,10000)")
    parser.add_argument("--kube-proxy", metavar="FILE", help="the real one (default: kube-proxy, if on PATH)")
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
        for row in _rows(mode, sizes, options.kube_proxy):
            rows.append({"mode": mode, **asdict(row), "met": row.met})
            if text:
                print(row.render(), flush=True)
    if not text:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
