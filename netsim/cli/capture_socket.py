"""scapy's listening socket with what captures need besides: direction, a filter that holds from the first packet."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

# imported for their effect: they teach scapy which dissector belongs to which link and protocol
import scapy.layers.dns
import scapy.layers.inet
import scapy.layers.inet6
import scapy.layers.l2
import scapy.layers.vxlan  # noqa: F401
from scapy.arch.linux import L2ListenSocket
from scapy.data import MTU
from scapy.interfaces import NetworkInterface
from scapy.libs.structures import sock_fprog

from netsim.lab.pcapng import INBOUND, OUTBOUND

SO_ATTACH_FILTER = 26
SOL_PACKET, PACKET_STATISTICS = 263, 6
RECEIVE_BUFFER = 8 << 20
DRAIN_MAX = 100_000
LOOPBACK_HARDWARE = 772


class CaptureSocket(L2ListenSocket):  # type: ignore[misc]  # scapy has no types here
    """Listens on one interface of the namespace it is opened in; packets have `direction` set, as pcapng counts it."""

    def __init__(self, interface: str, program: Any = None) -> None:
        super().__init__(iface=_named(interface), promisc=False, nofilter=1)
        self.ins.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._way = 0
        if program is not None:
            self._filter(program)
        self.dropped()  # before: scapy opens it with next to no buffer, and nobody had asked for packets yet

    def recv_raw(self, x: int = MTU) -> tuple[Any, bytes | None, float | None]:
        """As scapy's, but a packet on loopback is seen once (coming in), and an interface gone down falls silent."""
        try:
            data, address, stamp = self._recv_raw(self.ins, x)
        except OSError as error:
            if error.errno != errno.ENETDOWN:
                raise
            return None, None, None  # said once by the kernel; if the interface comes up again, so do its packets
        outgoing = address[2] == socket.PACKET_OUTGOING
        if outgoing and address[3] == LOOPBACK_HARDWARE:
            return None, None, None
        self._way = OUTBOUND if outgoing else INBOUND
        return self.LL, data, stamp

    def recv(self, x: int = MTU, **options: Any) -> Any:
        """The next packet, dissected; None if there is none to show."""
        packet = super().recv(x, **options)
        if packet is not None:
            packet.direction = self._way
        return packet

    def dropped(self) -> int:
        """Packets that came while the buffer was full, since the last call."""
        _, drops = struct.unpack("II", self.ins.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return int(drops)

    def _filter(self, program: Any) -> None:
        """Attach a compiled filter and drop what came in before it."""
        self.ins.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(sock_fprog(program.bf_len, program.bf_insns)))
        for _ in range(DRAIN_MAX):
            try:
                self.ins.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return


def _named(interface: str) -> NetworkInterface:
    """What scapy takes for an interface without a search: it knows those of the first namespace it looked at, and
    reading another's anew costs 30 ms a socket."""
    found = NetworkInterface(None)
    found.name = found.network_name = interface
    return found
