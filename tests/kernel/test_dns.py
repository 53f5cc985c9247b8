"""The server on port 53 of a namespace with several addresses, asked from another namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.labs import until

pytestmark = pytest.mark.root
FIXTURE = Path(__file__).parents[1] / "golden" / "dns" / "fixture.json"
SVC1 = "svc1.testns.svc.cluster.local"
OUTSIDE, UPSTREAM = "192.0.2.0/24", "192.0.2.53"


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout


@dataclass
class Pair:
    """Two namespaces with a veth between them; the server's has four addresses, and a log once it runs.

    The client's is the server's router as well, one that cannot reach its upstream.
    """

    server: str
    client: str
    log: Path

    def dig(self, address: str, *words: str) -> str:
        return run("ip", "netns", "exec", self.client, "dig", f"@{address}", "+tries=1", "+time=5", *words)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if os.geteuid() or not shutil.which("dig"):
        pytest.skip("needs root and dig (Debian package bind9-dnsutils)")
    mark = f"pytest-dns-{os.getpid()}"
    names = Pair(f"{mark}s", f"{mark}c", tmp_path_factory.mktemp("dns") / "log")
    try:
        run("ip", "netns", "add", names.server)
        run("ip", "netns", "add", names.client)
        run("ip", "-n", names.server, "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", names.client)
        addresses = {
            names.server: ("10.244.0.53/24", "10.244.0.54/24", "fd00:244::53/64", "fe80::53/64"),
            names.client: ("10.244.0.2/24", "fd00:244::2/64", "fe80::2/64"),
        }
        for namespace, texts in addresses.items():
            for text in texts:
                extra = ("nodad",) if ":" in text else ()
                run("ip", "-n", namespace, "address", "add", text, "dev", "eth0", *extra)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
            run("ip", "-n", namespace, "link", "set", "eth0", "up")
        run("ip", "-n", names.server, "route", "add", OUTSIDE, "via", "10.244.0.2")
        run("ip", "-n", names.client, "route", "add", "unreachable", OUTSIDE)
        run("ip", "netns", "exec", names.client, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        yield names
    finally:
        for namespace in (names.server, names.client):
            subprocess.run(("ip", "netns", "delete", namespace), check=False, capture_output=True, timeout=20)


@pytest.fixture(scope="module")
def served(pair: Pair) -> Iterator[Pair]:
    listen = ("--listen", "0.0.0.0:53", "--listen", "[::]:53", "--lameduck", "0", "--forward", UPSTREAM)
    command = ("ip", "netns", "exec", pair.server, sys.executable, "-m", "netsim_dns", "-f", str(FIXTURE), *listen)
    with pair.log.open("w") as log:
        process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stderr=log)
    try:
        wait_for_answer(pair, process)
        yield pair
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0


def wait_for_answer(pair: Pair, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        command = ("ip", "netns", "exec", pair.client, "dig", "@10.244.0.53", "+tries=1", "+time=1", "+short", SVC1)
        found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
        if found.returncode == 0 and found.stdout == "10.96.1.1\n":
            return
    raise AssertionError(f"no answer within 20 s, the server's exit status is {process.poll()}")


@pytest.mark.parametrize("address", ["10.244.0.53", "10.244.0.54", "fd00:244::53"])
@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_each_address_answers_for_itself(served: Pair, address: str, transport: str) -> None:
    """dig takes no answer from another address than it asked."""
    assert served.dig(address, transport, "+short", SVC1) == "10.96.1.1\n"
    assert served.dig(address, transport, "+short", "dual.testns.svc.cluster.local", "AAAA") == "fd00:96::3\n"


BURST = f"""
import socket
query = bytes.fromhex("000101000001000000000000") + b"".join(
    bytes([len(label)]) + label.encode() for label in "{SVC1}.".split(".")
) + bytes([0, 1, 0, 1])
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    sock.settimeout(5)
    sock.bind(("::1", 0))
    sock.connect(("fd00:244::53", 53))
    for _ in range(100):
        sock.send(query)
    print(sum(len(sock.recv(512)) > len(query) for _ in range(100)))
"""


def test_answers_take_their_own_way_back(served: Pair) -> None:
    """An answer leaves by the interface of its route, not by the one that the question came by: lone or in a burst.
    That to an address of the link itself leaves by the link."""
    assert run("ip", "netns", "exec", served.server, sys.executable, "-c", BURST) == "100\n"
    assert served.dig("fe80::53%eth0", "+short", SVC1) == "10.96.1.1\n"


def test_the_server_finds_the_service_it_stands_behind(served: Pair) -> None:
    """10.244.0.53 is an endpoint of kube-dns: that Service is the name server."""
    output = served.dig("10.244.0.53", "cluster.local", "NS")
    assert "kube-dns.kube-system.svc.cluster.local." in output
    assert "10.96.0.10" in output
    assert served.dig("10.244.0.53", "+short", "ns.dns.cluster.local") == "10.96.0.10\n"


def test_upstreams_that_no_router_reaches_cost_no_timeout(served: Pair) -> None:
    """The router's ICMP counts until an answer comes: it tells of them once a second at most."""
    until(lambda: f"upstream {UPSTREAM}:53 is down" in served.log.read_text(), 20)
    assert "status: SERVFAIL" in served.dig("10.244.0.53", "www.example.test")
    log = served.log.read_text()
    assert f"->{UPSTREAM}:53: read: no route to host" in log
    assert "2 www.example.test. A: no healthy upstreams" in log
