"""The peer: hosts as Mininet makes them, in their namespaces, without its switches and its changes of sysctls."""

from __future__ import annotations

import subprocess

from up import bare_namespaces

_PYTHON = "/usr/bin/python3"
# Links are made inside the hosts' namespaces, and end with them: the machine's own is not touched.
_HOSTS = """
import sys, time
from mininet.link import Link
from mininet.node import Node
count = int(sys.argv[1])
begun = time.perf_counter()
middle = Node("s0")
hosts = []
for number in range(count):
    hosts.append(Node(f"h{number}"))
    Link(hosts[-1], middle)
    hosts[-1].setIP(f"10.0.{number // 250}.{number % 250 + 1}", 8)
made = time.perf_counter()
for host in (*hosts, middle):
    host.terminate()
print(made - begun, time.perf_counter() - made)
"""


def make_hosts(count: int) -> tuple[str, float, float]:
    """Who made them, seconds until they were there, and until they were gone (0: not known)."""
    try:
        done = subprocess.run(
            [_PYTHON, "-c", _HOSTS, str(count)], capture_output=True, text=True, timeout=600, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):  # the package is not installed, or lacks a program
        return "ip commands as Mininet's", bare_namespaces(count), 0.0
    made, ended = (float(word) for word in done.stdout.split()[-2:])
    return "Mininet", made, ended
