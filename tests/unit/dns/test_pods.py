"""Names made of pods' addresses in the three modes, while pods come, end and go."""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode
import pytest

from netsim_dns.config import DnsConfig
from netsim_dns.index import Index, build_index
from netsim_dns.responder import Responder

from .test_records import namespace

Obj = dict[str, Any]


def pod(name: str, address: str, ns: str = "a", phase: str = "Running", **metadata: str) -> Obj:
    status = {"podIP": address, "podIPs": [{"ip": address}, {"ip": "fd00::99"}], "phase": phase}
    return {"kind": "Pod", "metadata": {"name": name, "namespace": ns, **metadata}, "status": status}


PODS = [pod("web", "10.244.1.5"), pod("six", "fd00:10::77"), pod("done", "10.244.1.6", phase="Succeeded")]


def ask(index: Index, pods: Any, name: str, qtype: str = "A") -> tuple[str, list[str]]:
    reply = Responder(index, DnsConfig(pods=pods)).udp(dns.message.make_query(name, qtype).to_wire())
    assert isinstance(reply, bytes)
    message = dns.message.from_wire(reply)
    return dns.rcode.to_text(message.rcode()), [str(r) for rrset in message.answer for r in rrset]


@pytest.mark.parametrize(
    ("name", "qtype", "disabled", "insecure", "verified"),
    [
        ("10-244-1-5.a.pod", "A", None, ["10.244.1.5"], ["10.244.1.5"]),
        ("10-244-1-5.a.pod", "AAAA", None, [], []),
        ("10-244-1-5.A.POD", "A", None, ["10.244.1.5"], ["10.244.1.5"]),
        ("10-244-1-5.b.pod", "A", None, ["10.244.1.5"], None),
        ("10-244-1-5.nosuch.pod", "A", None, None, None),
        ("10-244-1-6.a.pod", "A", None, ["10.244.1.6"], None),
        ("x.10-244-1-5.a.pod", "A", None, ["10.244.1.5"], ["10.244.1.5"]),
        ("x.y.z.10-244-1-5.a.pod", "A", None, None, None),
        ("fd00-10--77.a.pod", "AAAA", None, ["fd00:10::77"], ["fd00:10::77"]),
        ("fd00-10-0-0-0-0-0-77.a.pod", "AAAA", None, ["fd00:10::77"], None),
        ("fd00--99.a.pod", "AAAA", None, ["fd00::99"], None),
        ("256-1-1-1.a.pod", "A", None, None, None),
        ("web.a.pod", "A", None, None, None),
        ("a.pod", "A", None, [], []),
        ("pod", "A", [], [], []),
    ],
)
def test_modes(
    name: str, qtype: str, disabled: list[str] | None, insecure: list[str] | None, verified: list[str] | None
) -> None:
    """None: the name does not exist."""
    index = build_index([namespace("a"), namespace("b"), *PODS], 1)
    for mode, expected in (("disabled", disabled), ("insecure", insecure), ("verified", verified)):
        wanted = ("NXDOMAIN", []) if expected is None else ("NOERROR", expected)
        assert ask(index, mode, f"{name}.cluster.local.", qtype) == wanted, mode


def test_verified_pods_come_and_go() -> None:
    name, index = "10-244-1-5.a.pod.cluster.local.", build_index([namespace("a")], 1)
    web = PODS[0]
    assert ask(index, "verified", name)[0] == "NXDOMAIN"
    leaving = pod("web", "10.244.1.5", deletionTimestamp="2026-01-01T00:00:00Z")
    assert not index.apply("Pod", None, leaving, 2), "one that is first seen while it ends"
    assert index.apply("Pod", None, web, 3)
    assert not index.apply("Pod", web, leaving, 4), "but one that is known stays until it is gone"
    assert ask(index, "verified", name) == ("NOERROR", ["10.244.1.5"])
    other = pod("same-node", "10.244.1.5")
    index.apply("Pod", None, other, 5)
    index.apply("Pod", leaving, None, 6)
    assert ask(index, "verified", name)[0] == "NOERROR", "two pods of the host's network have one address"
    index.apply("Pod", other, pod("same-node", "10.244.1.5", phase="Failed"), 7)
    assert ask(index, "verified", name)[0] == "NXDOMAIN"
