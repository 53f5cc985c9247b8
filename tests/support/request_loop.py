"""Run inside a pod's network: requests over one kept connection, over new ones or both, until stdin ends.

    python request_loop.py ADDRESS PORT kept|new|kept,new

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


def main(address: str, port: int, kinds: list[str]) -> None:
    counts, failures = dict.fromkeys(kinds, 0), []
    kept = socket.create_connection((address, port), TIMEOUT) if "kept" in kinds else None
    print("started", flush=True)
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        for kind in kinds:
            try:
                if kind == "kept":
                    kept = kept or socket.create_connection((address, port), TIMEOUT)
                    ask(kept, address)
                else:
                    with socket.create_connection((address, port), TIMEOUT) as fresh:
                        ask(fresh, address)
                counts[kind] += 1
            except OSError as error:
                failures.append(f"{kind}: {error!r}")
                kept = None if kind == "kept" else kept
    print(json.dumps({**counts, "failures": failures}))


main(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(","))
