"""The line of a packet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from netsim.cli.capture_text import LABEL_MAX, describe, render_line, shorten

IP4 = IP(src="10.244.1.2", dst="10.96.0.20")


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (IP4 / TCP(sport=4000, dport=80, flags="S"), "10.244.1.2:4000 > 10.96.0.20:80 TCP S"),
        (IP4 / TCP(sport=4000, dport=80, flags="PA") / Raw(b"GET /"), "10.244.1.2:4000 > 10.96.0.20:80 TCP PA 5 B"),
        (IP4 / UDP(sport=4000, dport=9) / Raw(b"abc"), "10.244.1.2:4000 > 10.96.0.20:9 UDP 3 B"),
        (
            IP4 / UDP(sport=4000, dport=53) / DNS(qd=DNSQR(qname="web.default", qtype="AAAA")),
            "10.244.1.2:4000 > 10.96.0.20:53 DNS AAAA? web.default",
        ),
        (
            IP4
            / UDP(sport=53, dport=4000)
            / DNS(qr=1, qd=DNSQR(qname="web"), an=DNSRR(rrname="web", rdata="10.0.0.1")),
            "10.244.1.2:53 > 10.96.0.20:4000 DNS A 1 answers",
        ),
        (
            IP4 / UDP(sport=53, dport=4000) / DNS(qr=1, rcode=3, qd=DNSQR(qname="web")),
            "10.244.1.2:53 > 10.96.0.20:4000 DNS NXDOMAIN A 0 answers",
        ),
        (IP4 / ICMP(type=8), "10.244.1.2 > 10.96.0.20 ICMP echo request"),
        (IP4 / ICMP(type=3, code=3), "10.244.1.2 > 10.96.0.20 ICMP unreachable"),
        (ARP(op=1, psrc="10.0.0.1", pdst="10.0.0.2"), "ARP who has 10.0.0.2? 10.0.0.1 asks"),
        (ARP(op=2, psrc="10.0.0.2", hwsrc="0a:00:00:00:00:02"), "ARP 10.0.0.2 is at 0a:00:00:00:00:02"),
        (IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=1, dport=2, flags="SA"), "[fd00::1]:1 > [fd00::2]:2 TCP SA"),
    ],
)
def test_descriptions(packet: Any, expected: str) -> None:
    assert describe(Ether(bytes(Ether() / packet))) == expected


@pytest.mark.parametrize(
    "packet",
    [
        IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(),
        IP4 / UDP(dport=4789) / VXLAN(vni=1) / Ether() / IP(src="10.244.1.2") / TCP(),
        IP(proto=132) / Raw(b"sctp"),
        IP(frag=100, proto=6) / Raw(b"tail of a fragment"),
        Raw(b"\x00" * 30),
    ],
)
def test_anything_is_described_in_one_line(packet: Any) -> None:
    text = describe(Ether(bytes(Ether() / packet)))
    assert text
    assert "\n" not in text


@pytest.mark.parametrize("size", range(0, 60, 3))
def test_cut_frames_are_described(size: int) -> None:
    whole = bytes(Ether() / IP4 / UDP(sport=53, dport=53) / DNS(qd=DNSQR(qname="web.default")))
    assert "\n" not in describe(Ether(whole[: 14 + size]))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x08\x06"]), st.sampled_from([1, 6, 17, 58]), st.binary(max_size=90)
)
def test_any_frame_is_described(kind: bytes, protocol: int, data: bytes) -> None:
    head = b"\x45\0\0\x64\0\0\0\0\x40" + bytes([protocol]) if kind == b"\x08\x00" else b""
    assert describe(Ether(bytes(12) + kind + head + data))


def test_overlay_packets_show_what_they_carry() -> None:
    inner = Ether() / IP(src="10.244.1.2", dst="10.244.2.2") / TCP(sport=1, dport=2, flags="S")
    frame = Ether() / IP(src="172.30.0.11", dst="172.30.0.12") / UDP(sport=9, dport=4789) / VXLAN(vni=7) / inner
    assert describe(Ether(bytes(frame))).endswith("172.30.0.12:4789 VXLAN 7: 10.244.1.2:1 > 10.244.2.2:2 TCP S")


def test_a_usual_line_fits_a_terminal() -> None:
    packet = Ether(
        bytes(Ether() / IP(src="10.244.11.22", dst="10.244.33.44") / TCP(sport=40000, dport=8080, flags="PA"))
    )
    line = render_line(12.345678, "node-1/web-a-12345", 18, "out", packet)
    assert line.startswith("12.345678 node-1/web-a-12345 out 10.244.11.22:40000 > ")
    assert len(line) <= 80


def test_long_names_are_cut_in_the_middle_so_that_a_line_fits_a_terminal():
    name = "test-deployment-5d4f9c8b7c-x2x9q/eth0"
    assert shorten(name) == "test-dep…8b7c-x2x9q/eth0" and len(shorten(name)) == LABEL_MAX
    assert shorten("node-1/eth0") == "node-1/eth0"
    line = render_line(0.5, name, len(name), "out", IP4 / TCP(sport=40000, dport=8080, flags="S"))
    assert line.startswith(f" 0.500000 {shorten(name)} out ") and len(line) <= 80
