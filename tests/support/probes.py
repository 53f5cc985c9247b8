"""One connection, and what became of it: who answered and whom it saw, or how it was refused."""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

from netsim.host import netns
from netsim.host.exec import run

_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
SILENCE = "silence"


@dataclass(frozen=True)
class Probe:
    """A first packet from a namespace (`path`), from its address `bind` if given: tcp, udp, or icmp (ping)."""

    path: str
    destination: str
    port: int
    protocol: str = "tcp"
    bind: str = ""


def send(probe: Probe, patience: float = 1.0) -> str:
    """The server's answer, or "rst", "icmp" (port unreachable), or "silence" for `patience` seconds."""
    if probe.protocol == "icmp":
        done = netns.run_in(probe.path, run, ["ping", "-c1", "-W1", probe.destination], check=False)
        return "answered" if done.returncode == 0 else SILENCE
    family = socket.AF_INET6 if ":" in probe.destination else socket.AF_INET
    with netns.open_socket(probe.path, family, _KINDS[probe.protocol]) as sock:
        sock.settimeout(patience)
        sock.setsockopt(*_RECVERR[family], 1)
        if probe.bind:
            sock.bind((probe.bind, 0))
        try:
            sock.connect((probe.destination, probe.port))
            sock.send(b"hello")
            return sock.recv(100).decode()
        except ConnectionRefusedError:
            return _refusal(sock)
        except TimeoutError:
            return SILENCE
        except OSError as error:
            if error.errno != errno.EHOSTUNREACH:  # the packet left, and nobody has that address
                raise
            return SILENCE


def _refusal(sock: socket.socket) -> str:
    """Whether a message of ICMP (or ICMPv6) port unreachable, or a TCP reset, ended the attempt."""
    sock.setblocking(False)
    try:
        _, ancillary, _, _ = sock.recvmsg(100, 512, socket.MSG_ERRQUEUE)
    except BlockingIOError:
        return "rst"
    origin, kind, code = struct.unpack_from("=4xBBB", ancillary[0][2])
    assert (origin, kind, code) in ((2, 3, 3), (3, 1, 4)), (origin, kind, code)
    return "icmp"
