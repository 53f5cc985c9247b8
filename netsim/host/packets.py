"""Sockets for whole Ethernet frames (packet(7)), in the calling thread's network namespace."""

from __future__ import annotations

import ctypes
import socket
import struct

SO_ATTACH_FILTER = 26
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST = 263, 1, 0
ETH_IPV6 = 0x86DD

# The classic BPF program "ICMPv6 neighbour solicitation": next header at byte 20 is 58, type at byte 54 is 135.
_LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x30, 0x15, 0x06
_SOLICITATIONS = (
    (_LOAD_BYTE, 0, 0, 20),
    (_JUMP_EQUAL, 0, 3, 58),
    (_LOAD_BYTE, 0, 0, 54),
    (_JUMP_EQUAL, 0, 1, 135),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
)


def open_link_socket(interface: str, ether_type: int) -> socket.socket:
    """A socket that does not block, for frames of one EtherType on one interface; of IPv6 it takes neighbour
    solicitations only. Needs CAP_NET_RAW. Raises OSError."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        if ether_type == ETH_IPV6:
            _attach_filter(sock, _SOLICITATIONS)
        sock.bind((interface, ether_type))
    except OSError:
        sock.close()
        raise
    return sock


def _attach_filter(sock: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code)))


def join_multicast(sock: socket.socket, interface: str, mac: bytes) -> None:
    """Let the interface take frames to a multicast MAC for as long as the socket is open. Raises OSError."""
    request = struct.pack("iHH8s", socket.if_nametoindex(interface), PACKET_MR_MULTICAST, len(mac), mac)
    sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
