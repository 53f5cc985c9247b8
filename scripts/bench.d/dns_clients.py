"""Clients of a DNS server that leave it the machine: `dns_clients.py alone|flood PORT SECONDS QUESTIONS`.

dnsperf is not used for these two. Allowed one question at a time it misses its own answers and then waits 0.1 s: 20
questions a second, which find everything asleep. And where two halves of a core are to be kept busy it takes more than
what is left of two cores.

`alone` prints the median time of a question in microseconds, the next one asked as soon as the last was answered;
`flood` prints answers a second with SOCKETS times WINDOW questions on their way.
"""

from __future__ import annotations

import itertools
import select
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from netsim_dns.datagrams import Datagrams

SOCKETS, WINDOW = 32, 64
_TYPES = {"A": 1, "AAAA": 28, "SRV": 33}
_FLAGS_AND_COUNTS = b"\1\0\0\1\0\0\0\0\0\1"
_OPT = b"\0\0\x29\x10\0\0\0\0\0\0\0"
_LOST_SECONDS = 1.0


def query(name: str, kind: str, number: int = 0) -> bytes:
    """A question with EDNS, as a message."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return number.to_bytes(2, "big") + _FLAGS_AND_COUNTS + labels + b"\0\0" + bytes([_TYPES[kind]]) + b"\0\1" + _OPT


def read_questions(path: Path) -> list[bytes]:
    """The questions of a file as dnsperf reads it."""
    lines = path.read_text().splitlines()
    return [query(*line.split(), number % 65536) for number, line in enumerate(lines)]  # type: ignore[arg-type]


def ask_alone(port: int, seconds: float, questions: Sequence[bytes]) -> float:
    times, clock = list[float](), time.perf_counter
    with _connected(port) as sock:
        sock.settimeout(_LOST_SECONDS)
        end = clock() + seconds
        for question in itertools.cycle(questions):
            began = clock()
            sock.send(question)
            sock.recv(4096)
            ended = clock()
            times.append(ended - began)
            if ended > end:
                return statistics.median(times) * 1e6
    raise AssertionError("unreachable: questions never end")


def flood(port: int, seconds: float, questions: Sequence[bytes]) -> float:
    """An answer is answered with the next question, under the same id. Where all is quiet for a second questions were
    lost: asked anew."""
    following, answered = itertools.cycle(questions), 0
    sockets = [_connected(port) for _ in range(SOCKETS)]
    served = {sock.fileno(): Datagrams(sock, from_asked=False) for sock in sockets}
    poll = select.epoll()
    for sock in sockets:
        poll.register(sock, select.EPOLLIN)
        _fill(sock, following)
    began = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        ready = poll.poll(_LOST_SECONDS)
        for fd, _ in ready:
            count = served[fd].receive()
            served[fd].answer([question[2:] for question in itertools.islice(following, count)])
            answered += count
        if not ready:
            for sock in sockets:
                _fill(sock, following)
    return answered / (now - began)


def _fill(sock: socket.socket, questions: Iterator[bytes]) -> None:
    for question in itertools.islice(questions, WINDOW):
        sock.send(question)


def _connected(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))
    return sock


if __name__ == "__main__":
    ask = {"alone": ask_alone, "flood": flood}[sys.argv[1]]
    print(ask(int(sys.argv[2]), float(sys.argv[3]), read_questions(Path(sys.argv[4]))))
