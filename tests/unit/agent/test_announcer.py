"""Frames for load-balancer addresses, judged by scapy, and which node announces what, where."""

from __future__ import annotations

import ipaddress

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from netsim.agent.announcer import Place, announced_here, choose_places
from netsim.agent.neighbour_frames import parse_question, render_announcement, render_answer, solicited_mac
from netsim.api.load_balancer import ANNOUNCED_FROM

OURS, THEIRS = "02:00:00:00:00:01", "02:00:00:00:00:02"
MAC = bytes.fromhex(OURS.replace(":", ""))
VIP, VIP6 = ipaddress.ip_address("192.0.2.10"), ipaddress.ip_address("2001:db8::10")


def arp(**fields: object) -> bytes:
    request = {"op": 1, "hwsrc": THEIRS, "psrc": "192.0.2.1", "pdst": str(VIP), **fields}
    return bytes(Ether(src=THEIRS, dst="ff:ff:ff:ff:ff:ff") / ARP(**request))


def solicitation(source: str = "2001:db8::1", *, option: bool = True, hops: int = 255) -> bytes:
    frame = Ether(src=THEIRS, dst="33:33:ff:00:00:10") / IPv6(src=source, dst="ff02::1:ff00:10", hlim=hops)
    frame /= ICMPv6ND_NS(tgt=str(VIP6))
    return bytes(frame / ICMPv6NDOptSrcLLAddr(lladdr=THEIRS) if option else frame)


@pytest.mark.parametrize("sender", ["192.0.2.1", "0.0.0.0"])
def test_an_arp_request_is_answered_to_who_asked(sender: str) -> None:
    question = parse_question(arp(psrc=sender))
    assert question is not None and question.target == VIP
    answer = Ether(render_answer(question, MAC))
    assert (answer.dst, answer.src) == (THEIRS, OURS)
    said = answer[ARP]
    assert (said.op, said.hwsrc, said.psrc, said.hwdst, said.pdst) == (2, OURS, str(VIP), THEIRS, sender)


def test_a_gratuitous_arp_goes_to_everybody() -> None:
    frame = Ether(render_announcement(VIP, MAC))
    said = frame[ARP]
    assert (frame.dst, said.op, said.hwsrc, said.psrc, said.pdst) == ("ff:ff:ff:ff:ff:ff", 1, OURS, str(VIP), str(VIP))


def checksum_is_right(frame: Ether) -> bool:
    stated = frame[ICMPv6ND_NA].cksum
    del frame[ICMPv6ND_NA].cksum
    return bool(Ether(bytes(frame))[ICMPv6ND_NA].cksum == stated)


def test_a_solicitation_is_answered_by_an_advertisement() -> None:
    question = parse_question(solicitation())
    assert question is not None and question.target == VIP6
    answer = Ether(render_answer(question, MAC))
    said = answer[ICMPv6ND_NA]
    assert (answer.dst, answer[IPv6].dst, answer[IPv6].src) == (THEIRS, "2001:db8::1", str(VIP6))
    assert (said.tgt, said.S, said.O, said.R, said[ICMPv6NDOptDstLLAddr].lladdr) == (str(VIP6), 1, 1, 0, OURS)
    assert answer[IPv6].hlim == 255
    assert checksum_is_right(answer)


def test_who_looks_for_duplicates_is_answered_in_public() -> None:
    question = parse_question(solicitation("::", option=False))
    assert question is not None
    assert render_answer(question, MAC) == render_announcement(VIP6, MAC)
    said = Ether(render_announcement(VIP6, MAC))
    assert (said.dst, said[IPv6].dst, said[ICMPv6ND_NA].S) == ("33:33:00:00:00:01", "ff02::1", 0)
    assert checksum_is_right(said)


@pytest.mark.parametrize(
    "frame",
    [arp(op=2), arp()[:30], solicitation(hops=64), solicitation()[:60], b"", bytes(Ether(type=0x0800)) + bytes(60)],
)
def test_what_is_no_question_is_none(frame: bytes) -> None:
    assert parse_question(frame) is None


def test_questions_for_an_ipv6_address_go_to_its_group() -> None:
    assert solicited_mac(ipaddress.IPv6Address("2001:db8::12:3456")).hex(":") == "33:33:ff:12:34:56"


def test_a_node_announces_what_names_it_on_the_network_it_is_on() -> None:
    services = [
        {
            "metadata": {"annotations": {ANNOUNCED_FROM: node}},
            "status": {"loadBalancer": {"ingress": [{"ip": ip, "ipMode": mode}]}},
        }
        for node, ip, mode in (
            ("n1", "192.0.2.10", "VIP"),
            ("n2", "192.0.2.11", "VIP"),
            ("n1", "192.0.2.12", "Proxy"),
            ("n1", "198.51.100.1", "VIP"),
        )
    ]
    mine = announced_here(services, "n1")
    assert mine == {VIP, ipaddress.ip_address("198.51.100.1")}
    place = Place("eth0", MAC, (ipaddress.ip_network("192.0.2.0/24"),))
    assert choose_places(mine, [Place("eth1", MAC, ()), place]) == {VIP: place}
