"""The IPv4 addresses of a name by c-ares, one a line; needs nothing but the library and Python."""

from __future__ import annotations

import ctypes
import select
import socket
import sys

SOCKETS = 16


class Hostent(ctypes.Structure):
    """struct hostent"""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("aliases", ctypes.c_void_p),
        ("family", ctypes.c_int),
        ("length", ctypes.c_int),
        ("addresses", ctypes.POINTER(ctypes.POINTER(ctypes.c_ubyte))),
    )


Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(Hostent))


def look_up(name: str) -> tuple[int, list[str]]:
    """ares_gethostbyname's status (0: found) and the addresses."""
    library = ctypes.CDLL("libcares.so.2")
    channel, told = ctypes.c_void_p(), []
    assert library.ares_library_init(1) == 0
    assert library.ares_init(ctypes.byref(channel)) == 0

    @Callback
    def done(_argument: object, status: int, _timeouts: int, host: ctypes._Pointer[Hostent]) -> None:
        found, position = [], 0
        while status == 0 and host.contents.addresses[position]:
            found.append(socket.inet_ntoa(bytes(host.contents.addresses[position][:4])))
            position += 1
        told.append((status, found))

    library.ares_gethostbyname(channel, name.encode(), socket.AF_INET, done, None)
    while not told:
        _wait(library, channel)
    library.ares_destroy(channel)
    return told[0]


def _wait(library: ctypes.CDLL, channel: ctypes.c_void_p) -> None:
    sockets = (ctypes.c_int * SOCKETS)()
    mask = library.ares_getsock(channel, sockets, SOCKETS)
    reading = [sockets[bit] for bit in range(SOCKETS) if mask & 1 << bit]
    readable, _, _ = select.select(reading, [], [], 0.5)
    for descriptor in readable or [-1]:  # -1: none, but time has passed
        library.ares_process_fd(channel, descriptor, -1)


if __name__ == "__main__":
    outcome, addresses = look_up(sys.argv[1])
    print("\n".join(addresses))
    sys.exit(outcome != 0)
