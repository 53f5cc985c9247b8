"""Ask the lab's DNS the way a program on a node does: one datagram to the Service's address, from that node."""

from __future__ import annotations

import socket

from dnslib import QTYPE, RCODE, DNSError, DNSRecord

from netsim.host import netns

_TIMEOUT = 0.2


def dns_answers(netns_path: str, server: str, name: str) -> bool:
    """Whether `server` answers `name` with an address, asked from the network namespace at `netns_path`."""
    query = DNSRecord.question(name, "A")
    with netns.open_socket(netns_path, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_TIMEOUT)
        try:
            sock.connect((server, 53))
            sock.send(query.pack())
            reply = DNSRecord.parse(sock.recv(4096))
        except (OSError, DNSError):  # refused, silent or garbled: not answering (yet)
            return False
    ok: bool = reply.header.id == query.header.id and reply.header.rcode == RCODE.NOERROR
    return ok and any(record.rtype == QTYPE.A for record in reply.rr)
