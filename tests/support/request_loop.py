"""Run inside a pod's network: requests over one kept connection and over new ones, until stdin ends.

    python request_loop.py ADDRESS PORT

Prints one line of JSON: how many of each kind went well, and the text of every one that did not.
"""

from __future__ import annotations

import json
import select
import socket
import sys

INTERVAL = 0.02
TIMEOUT = 3.0


def ask(sock: socket.socket, host: str) -> None:
    """One request; ConnectionError unless the answer is complete and 200."""
    sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := sock.recv(65536)):
            raise ConnectionError(f"closed after {len(data)} bytes")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:"))
    while len(body) < length:
        if not (part := sock.recv(65536)):
            raise ConnectionError("closed within a body")
        body += part
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(head.decode(errors="replace"))


def main(address: str, port: int) -> None:
    counts, failures = {"kept": 0, "new": 0}, []
    kept = socket.create_connection((address, port), TIMEOUT)
    print("started", flush=True)
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        try:
            ask(kept, address)
            counts["kept"] += 1
        except OSError as error:
            failures.append(f"kept: {error!r}")
            kept = socket.create_connection((address, port), TIMEOUT)
        try:
            with socket.create_connection((address, port), TIMEOUT) as fresh:
                ask(fresh, address)
            counts["new"] += 1
        except OSError as error:
            failures.append(f"new: {error!r}")
    kept.close()
    print(json.dumps({**counts, "failures": failures}))


main(sys.argv[1], int(sys.argv[2]))
