"""Capturing at several places at once: scapy sockets opened inside namespaces, one pcapng, one line a packet."""

from __future__ import annotations

import heapq
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count as numbers
from typing import IO, Any

from netsim.host import netns
from netsim.lab import pcapng
from netsim.lab.bpf import Instruction, look_inside
from netsim.lab.capture_plan import CapturePoint

HOLD_NS = 100_000_000
WAIT = 0.02
DRAIN_SECONDS = 1.0
ETHERNET = 1

Print = Callable[[str], object]


class CaptureError(Exception):
    """A capture that cannot start; the message names the filter, file or interface and the mend."""


@dataclass(slots=True)
class Captured:
    """One packet: where (index of the point), when (ns since 1970), which way, its bytes and its dissection."""

    point: int
    time_ns: int
    direction: int
    data: bytes
    packet: Any


def run_capture(
    points: Sequence[CapturePoint],
    count: int = 0,
    out: str | None = None,
    bpf_filter: str = "",
    timeout: float | None = None,
    print: Print = print,
    ready: Callable[[], None] | None = None,
    tunnel: int = 0,
) -> int:
    """Capture on all points until `count` packets (0: no limit), `timeout` seconds or Ctrl-C; packets written.

    Packets come in the order of their times. `out` is a pcapng file, valid after every packet; `bpf_filter` is in
    tcpdump's syntax, and with `tunnel` (a UDP port of VXLAN) looks at the frames in there as well; `ready` is called
    once packets are being seen. Raises CaptureError, before `out` is touched
    unless it is `out` that cannot be written.
    """
    if not points:
        raise CaptureError("nothing to capture on: the target has no interface in this lab (is its pod running?)")
    program = compile_filter(bpf_filter, tunnel) if bpf_filter else None
    with ExitStack() as stack:
        sockets = stack.enter_context(_open_sockets(points, program))
        file = stack.enter_context(_open_file(out, points)) if out else None
        received: queue.SimpleQueue[Captured] = queue.SimpleQueue()
        stop = stack.enter_context(_stop_on_signal())
        stack.enter_context(_sniffing(sockets, received))
        if ready:
            ready()
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        packets = _in_order(received, lambda: stop.is_set() or time.monotonic() >= deadline)
        seen = _emit(packets, points, count, file, print)
        lost = sum(sock.dropped() for sock in sockets if not sock.closed)
        if lost:
            print(f"{lost} packets lost: the capture could not keep up; a filter makes it lighter")
        return seen


def compile_filter(text: str, tunnel: int = 0) -> Any:
    """A BPF program for Ethernet from a filter in tcpdump's syntax, by libpcap; CaptureError says what is wrong.

    With `tunnel` it also takes what comes in VXLAN to that port and has an inner frame which the filter takes.
    """
    from scapy.arch.common import compile_filter as compile_bpf
    from scapy.error import Scapy_Exception

    try:
        program = compile_bpf(text, linktype=ETHERNET)
        if not tunnel:
            return program
        outer = compile_bpf(f"udp dst port {tunnel} and ip[0] & 15 = 5", linktype=ETHERNET)
        return _assemble(look_inside(_instructions(program), _instructions(outer)))
    except ImportError as error:
        raise CaptureError("filters need libpcap; install the Debian package libpcap0.8") from error
    except Scapy_Exception as error:
        raise CaptureError(f"filter `{text}`: {error}; an example: `tcp port 80 and host 10.96.0.10`") from error


def _instructions(program: Any) -> list[Instruction]:
    return [(i.code, i.jt, i.jf, i.k) for i in program.bf_insns[: program.bf_len]]


def _assemble(instructions: Sequence[Instruction]) -> Any:
    import ctypes

    from scapy.libs.structures import bpf_insn, bpf_program

    array = (bpf_insn * len(instructions))(*instructions)
    return bpf_program(len(instructions), ctypes.cast(array, ctypes.POINTER(bpf_insn)))


@contextmanager
def _open_file(path: str, points: Sequence[CapturePoint]) -> Iterator[IO[bytes]]:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CaptureError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pcapng.section_header("netsim capture"))
        for point in points:
            file.write(pcapng.interface(point.label, point.description))
        file.flush()
        yield file


@contextmanager
def _open_sockets(points: Sequence[CapturePoint], program: Any) -> Iterator[dict[Any, int]]:
    """Sockets by point number; each is opened by a thread inside its namespace and then works from any."""
    from netsim.cli.capture_socket import CaptureSocket

    opened: dict[Any, int] = {}
    try:
        for number, point in enumerate(points):
            try:
                sock = netns.run_in(point.netns, CaptureSocket, point.interface, program)
            except OSError as error:
                raise CaptureError(f"cannot capture on {point.label}: {error.strerror or error}") from error
            opened[sock] = number
        yield opened
    finally:
        for sock in opened:
            sock.close()


@contextmanager
def _sniffing(sockets: dict[Any, int], received: queue.SimpleQueue[Captured]) -> Iterator[None]:
    """One sniffer over all sockets, in its own thread."""
    from scapy.sendrecv import AsyncSniffer

    def take(packet: Any) -> None:
        data, time_ns = packet.original, int(packet.time * 1_000_000_000)
        received.put(Captured(packet.sniffed_on, time_ns, packet.direction, data, packet))

    sniffer = AsyncSniffer(opened_socket=sockets, prn=take, store=False, quiet=True)
    sniffer.start()
    try:
        yield
    finally:
        if sniffer.running:
            sniffer.stop()


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the capture between two packets, so that none is half written."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_order(received: queue.SimpleQueue[Captured], ended: Callable[[], bool]) -> Iterator[Captured]:
    """Packets by time, each held back until none earlier can still come; at the end, those still on their way to us."""
    held: list[tuple[int, int, Captured]] = []
    serial = numbers()
    while not ended():
        try:
            captured = received.get(timeout=WAIT)
            heapq.heappush(held, (captured.time_ns, next(serial), captured))
        except queue.Empty:
            pass  # nothing new; what is held may be old enough by now
        while held and held[0][0] < time.time_ns() - HOLD_NS:
            yield heapq.heappop(held)[2]
    for captured in _waiting(received, time.time_ns()):
        heapq.heappush(held, (captured.time_ns, next(serial), captured))
    while held:
        yield heapq.heappop(held)[2]


def _waiting(received: queue.SimpleQueue[Captured], end_ns: int) -> Iterator[Captured]:
    """Packets that passed before the end and still wait in a socket: until none has come for a while."""
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        try:
            captured = received.get(timeout=HOLD_NS / 1e9)
        except queue.Empty:
            return
        if captured.time_ns <= end_ns:
            yield captured


def _emit(
    packets: Iterator[Captured], points: Sequence[CapturePoint], count: int, file: IO[bytes] | None, print: Print
) -> int:
    from netsim.cli.capture_text import render_line

    width, first, seen = max(len(point.label) for point in points), 0, 0
    for captured in packets:
        first = first or captured.time_ns
        label, way = points[captured.point].label, {1: "in", 2: "out"}.get(captured.direction, "")
        if file:
            block = pcapng.packet(captured.point, captured.time_ns, captured.data, direction=captured.direction)
            file.write(block)
            file.flush()
        print(render_line((captured.time_ns - first) / 1e9, label, width, way, captured.packet))
        seen += 1
        if seen == count:
            break
    return seen
