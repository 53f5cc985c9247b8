"""In which order packets come out of a capture, and which still do when it ends."""

from __future__ import annotations

import queue
import socket
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.libs.structures import sock_fprog

from netsim.cli.capture_run import Captured, _in_order, compile_filter
from netsim.cli.capture_socket import SO_ATTACH_FILTER


def packet(time_ns: int) -> Captured:
    return Captured(0, time_ns, 0, b"", None)


def test_what_passed_before_the_end_is_shown_and_what_came_after_is_not():
    received: queue.SimpleQueue[Captured] = queue.SimpleQueue()
    now = time.time_ns()
    for moment in (now - 2, now - 5, now - 9, now + 3_600 * 10**9):
        received.put(packet(moment))
    shown = [captured.time_ns for captured in _in_order(received, lambda: True)]
    assert shown == [now - 9, now - 5, now - 2]


def test_a_busy_link_does_not_keep_a_capture_from_ending():
    class Endless(queue.SimpleQueue):  # type: ignore[type-arg]
        def get(self, block: bool = True, timeout: float | None = None) -> Captured:
            return packet(time.time_ns() + 10**12)

    before = time.monotonic()
    assert list(_in_order(Endless(), lambda: True)) == []
    assert time.monotonic() - before < 5


PING = Ether() / IP(src="10.244.1.2", dst="10.244.2.2") / ICMP()
WEB = Ether() / IP(src="10.244.1.2", dst="10.244.2.2", options=[b"\x01\x01\x01\x01"]) / TCP(dport=80)
WEB6 = Ether() / IPv6(dst="fd00::2") / TCP(dport=80)


def inside(frame: Ether, port: int = 8472) -> Ether:
    return Ether() / IP(src="172.30.0.11", dst="172.30.0.12") / UDP(sport=50000, dport=port) / VXLAN(vni=1) / frame


@pytest.mark.parametrize(
    ("text", "taken", "left"),
    [
        ("icmp", [PING, inside(PING)], [WEB, inside(WEB), inside(PING, 4789), inside(Ether() / ARP())]),
        ("tcp dst port 80", [WEB, WEB6, inside(WEB), inside(WEB6)], [PING, inside(PING)]),
        ("host 10.244.2.2 and not icmp", [WEB, inside(WEB)], [PING, inside(PING), WEB6]),
        ("host 172.30.0.12", [inside(PING), inside(WEB6)], [PING, WEB]),
        ("arp", [inside(Ether() / ARP())], [PING, inside(PING)]),
        ("", [PING, inside(PING)], []),
    ],
)
def test_a_filter_looks_into_the_overlay(text: str, taken: list[Ether], left: list[Ether]):
    program = compile_filter(text, 8472)
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # filters see its datagrams as they are
    with sender, receiver:
        receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(sock_fprog(program.bf_len, program.bf_insns)))
        receiver.setblocking(False)
        for frame in (*taken, *left):
            sender.send(bytes(frame))
        assert [receiver.recv(4096) for _ in taken] == [bytes(frame) for frame in taken]
        with pytest.raises(BlockingIOError):
            receiver.recv(4096)
