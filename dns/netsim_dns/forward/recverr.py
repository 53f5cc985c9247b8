"""Hearing from routers: a module of its own, so that a command that asks once need not load asyncio."""

from __future__ import annotations

import socket

# IP_RECVERR and IPV6_RECVERR (ip(7), ipv6(7)), for which socket has no names: without, a UDP socket hears of a closed
# port, but not of a network or host that a router cannot reach
TOLD_OF_ERRORS = {socket.AF_INET: (socket.IPPROTO_IP, 11, 1), socket.AF_INET6: (socket.IPPROTO_IPV6, 25, 1)}
