"""Ethernet frames by which a machine says that an address is its own: ARP (RFC 826) and neighbour discovery (RFC 4861).
Pure."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from netsim.api.load_balancer import Address

ETH_ARP, ETH_IPV6 = 0x0806, 0x86DD
_BROADCAST = b"\xff" * 6
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_HEAD = (1, 0x0800, 6, 4)  # Ethernet, IPv4, and the lengths of their addresses
_REQUEST, _REPLY = 1, 2
_ICMPV6, _SOLICITATION, _ADVERTISEMENT = 58, 135, 136
_SOLICITED, _OVERRIDE = 0x40000000, 0x20000000
_SOURCE_LINK, _TARGET_LINK = 1, 2
_ETHERNET, _IPV6 = 14, 40


@dataclass(frozen=True, slots=True)
class Question:
    """Who has `target`? Asked by the machine with `address` (None while it makes sure that nobody has it) and `mac`."""

    target: Address
    address: Address | None
    mac: bytes


def parse_question(frame: bytes) -> Question | None:
    """The question in an Ethernet frame; None if it is none."""
    kind = int.from_bytes(frame[12:14])
    if kind == ETH_ARP and len(frame) >= _ETHERNET + _ARP.size:
        return _parse_arp(frame)
    if kind == ETH_IPV6 and len(frame) >= _ETHERNET + _IPV6 + 24:
        return _parse_solicitation(frame)
    return None


def _parse_arp(frame: bytes) -> Question | None:
    *head, operation, mac, sender, _, target = _ARP.unpack_from(frame, _ETHERNET)
    if tuple(head) != _ARP_HEAD or operation != _REQUEST:
        return None
    known = None if sender == bytes(4) else ipaddress.IPv4Address(sender)
    return Question(ipaddress.IPv4Address(target), known, mac)


def _parse_solicitation(frame: bytes) -> Question | None:
    header, body = frame[_ETHERNET : _ETHERNET + _IPV6], frame[_ETHERNET + _IPV6 :]
    # A hop limit of 255 proves that the sender is on this link.
    if header[6] != _ICMPV6 or header[7] != 255 or body[0] != _SOLICITATION:
        return None
    source = ipaddress.IPv6Address(header[8:24])
    option = body[24:32]
    mac = option[2:8] if len(option) == 8 and option[0] == _SOURCE_LINK else frame[6:12]
    return Question(ipaddress.IPv6Address(body[8:24]), None if source.is_unspecified else source, mac)


def render_answer(question: Question, mac: bytes) -> bytes:
    """The frame that tells the asker that `mac` has the address."""
    if isinstance(question.target, ipaddress.IPv4Address):
        sender = question.address.packed if question.address is not None else bytes(4)
        body = _ARP.pack(*_ARP_HEAD, _REPLY, mac, question.target.packed, question.mac, sender)
        return question.mac + mac + ETH_ARP.to_bytes(2) + body
    if question.address is None:
        return render_announcement(question.target, mac)
    return _advertisement(question.target, mac, question.mac, question.address.packed, _SOLICITED | _OVERRIDE)


def render_announcement(address: Address, mac: bytes) -> bytes:
    """The frame that tells everybody, unasked, that `mac` has the address from now on (gratuitous ARP, RFC 5227, or an
    unsolicited neighbour advertisement)."""
    if isinstance(address, ipaddress.IPv4Address):
        body = _ARP.pack(*_ARP_HEAD, _REQUEST, mac, address.packed, bytes(6), address.packed)
        return _BROADCAST + mac + ETH_ARP.to_bytes(2) + body
    every = ipaddress.IPv6Address("ff02::1").packed
    return _advertisement(address, mac, multicast_mac(every), every, _OVERRIDE)


def solicited_mac(address: ipaddress.IPv6Address) -> bytes:
    """The multicast MAC that questions for an IPv6 address go to."""
    return multicast_mac(ipaddress.IPv6Address("ff02::1:ff00:0").packed[:13] + address.packed[13:])


def multicast_mac(group: bytes) -> bytes:
    """The MAC of an IPv6 multicast group (RFC 2464)."""
    return b"\x33\x33" + group[12:]


def _advertisement(address: Address, mac: bytes, to_mac: bytes, to: bytes, flags: int) -> bytes:
    head = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, flags) + address.packed
    message = head + bytes((_TARGET_LINK, 1)) + mac
    pseudo = address.packed + to + struct.pack("!I3xB", len(message), _ICMPV6)
    message = message[:2] + _checksum(pseudo + message) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255) + address.packed + to
    return to_mac + mac + ETH_IPV6.to_bytes(2) + header + message


def _checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    inverse: int = ~total & 0xFFFF
    return inverse.to_bytes(2)
