"""Netlink sockets as all of netsim has them."""

from __future__ import annotations

import socket
import struct

SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK = 10, 11
# The kernel's own limit of 30 s: Python's would take a poll(2) before each call, and make MSG_DONTWAIT wait.
TIMEOUT = struct.pack("@ll", 30, 0)


def netlink_socket(protocol: int = socket.NETLINK_ROUTE) -> socket.socket:
    """A socket in the calling thread's namespace; who waits 30 s for an answer gets BlockingIOError.

    Errors come in words, and do not bring back the request that they are about.
    """
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    sock.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
    sock.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEOUT)
    return sock
