"""One line per captured packet, short enough for a terminal of 80 columns where the names allow it."""

from __future__ import annotations

from typing import Any

from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP
from scapy.layers.vxlan import VXLAN

LABEL_MAX = 24
_DNS_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 16: "TXT", 28: "AAAA", 33: "SRV"}
_DNS_CODES = {0: "", 2: " SERVFAIL", 3: " NXDOMAIN", 5: " REFUSED"}


def render_line(seconds: float, label: str, width: int, direction: str, packet: Any) -> str:
    """`seconds` since the first packet, where, which way (`in`, `out` of the interface), what."""
    return f"{seconds:9.6f} {shorten(label):<{min(width, LABEL_MAX)}} {direction:<3} {describe(packet)}"


def shorten(label: str) -> str:
    """`WHERE/INTERFACE` within LABEL_MAX characters, cut in the middle: names differ at their ends."""
    if len(label) <= LABEL_MAX:
        return label
    tail = (LABEL_MAX - 1) * 2 // 3
    return f"{label[: LABEL_MAX - 1 - tail]}…{label[-tail:]}"


def describe(packet: Any) -> str:
    """What a dissected frame is: addresses and ports, protocol, flags or question, bytes of payload."""
    if ARP in packet:
        arp = packet[ARP]
        return f"ARP who has {arp.pdst}? {arp.psrc} asks" if arp.op == 1 else f"ARP {arp.psrc} is at {arp.hwsrc}"
    layer = packet.getlayer(IP) or packet.getlayer(IPv6)
    if layer is None:
        return str(packet.summary())
    segment = layer.payload
    if isinstance(segment, TCP | UDP):
        say = _tcp if isinstance(segment, TCP) else _udp
        return f"{_end(layer.src, segment.sport)} > {_end(layer.dst, segment.dport)} {say(segment)}"
    what = _icmp(segment) if isinstance(segment, ICMP) else segment.summary() or "no payload"
    return f"{layer.src} > {layer.dst} {what}"


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _tcp(segment: Any) -> str:
    size = len(segment.payload.original or b"") if segment.payload else 0
    return f"TCP {segment.flags}" + (f" {size} B" if size else "")


def _udp(segment: Any) -> str:
    inner = segment.payload
    if isinstance(inner, VXLAN):
        return f"VXLAN {inner.vni}: {describe(inner.payload)}"
    return _dns(inner) if isinstance(inner, DNS) else f"UDP {max((segment.len or 8) - 8, 0)} B"


def _dns(message: Any) -> str:
    first = message.qd[0] if message.qd else None
    question = first if isinstance(first, DNSQR) else None  # scapy gives raw bytes for a question cut short
    kind = _DNS_TYPES.get(question.qtype, str(question.qtype)) if question else "?"
    if message.qr:
        return f"DNS{_DNS_CODES.get(message.rcode, f' rcode {message.rcode}')} {kind} {message.ancount} answers"
    return f"DNS {kind}? {question.qname.decode('ascii', 'replace').rstrip('.')}" if question else "DNS query"


def _icmp(message: Any) -> str:
    return "ICMP " + {0: "echo reply", 3: "unreachable", 8: "echo request", 11: "time exceeded"}.get(
        message.type, f"type {message.type}"
    )
