"""A capture on both sides of a router that translates addresses, read again by scapy and tshark."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsim.cli.capture_run import CaptureError, compile_filter, run_capture
from netsim.host import firewall, netns
from netsim.host.netlink import Netlink
from netsim.host.sysctl import write_sysctl
from netsim.lab.capture_plan import CapturePoint

pytestmark = pytest.mark.root
VIP = "10.96.0.20"
SERVER = "10.244.2.2"


def setup_router() -> None:
    write_sysctl("net.ipv4.ip_forward", "1")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[dict[str, str]]:
    """client -- router (VIP -> server) -- server"""
    if os.geteuid():
        pytest.skip("needs root")
    mark = f"/run/netsim-dnscap-{os.getpid()}"
    paths = {name: f"{mark}/{name}" for name in ("client", "router", "server")}
    try:
        for path in paths.values():
            netns.create(path)
        build(paths)
        yield paths
    finally:
        for path in paths.values():
            netns.delete(path)
        shutil.rmtree(mark, ignore_errors=True)


def build(paths: dict[str, str]) -> None:
    with Netlink(paths["router"]) as router:
        for name, gateway in (("client", "10.244.1.1"), ("server", "10.244.2.1")):
            router.add_veth(f"to-{name}", "eth0", paths[name])
            router.add_address(f"to-{name}", f"{gateway}/24")
            router.set_up(f"to-{name}")
            with Netlink(paths[name]) as end:
                end.set_up("eth0")
                end.add_address("eth0", gateway.removesuffix("1") + "2/24")
                end.add_route(None, via=gateway)
    netns.run_in(paths["router"], setup_router)
    rule = f"*nat\n-A PREROUTING -d {VIP}/32 -p udp --dport 80 -j DNAT --to-destination {SERVER}:8080\nCOMMIT\n"
    netns.run_in(paths["router"], firewall.restore, rule.encode(), 4)


def points(paths: dict[str, str]) -> list[CapturePoint]:
    return [
        CapturePoint(paths["client"], "eth0", "client/eth0", "outside"),
        CapturePoint(paths["router"], "to-client", "router/to-client"),
        CapturePoint(paths["router"], "to-server", "router/to-server"),
        CapturePoint(paths["server"], "eth0", "server/eth0"),
    ]


def exchange(paths: dict[str, str]) -> None:
    """One datagram to the VIP, one back."""
    with (
        netns.open_socket(paths["server"], socket.AF_INET, socket.SOCK_DGRAM) as server,
        netns.open_socket(paths["client"], socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind((SERVER, 8080))
        server.settimeout(5)
        client.settimeout(5)
        client.connect((VIP, 80))
        client.send(b"question")
        data, peer = server.recvfrom(100)
        server.sendto(b"answer", peer)
        assert (data, client.recv(100)) == (b"question", b"answer")


def test_translation_is_seen_on_its_two_sides(lab: dict[str, str], tmp_path: Path) -> None:
    out, lines = tmp_path / "x.pcapng", []
    worker = threading.Thread(target=exchange, args=(lab,))
    seen = run_capture(points(lab), 8, str(out), "udp", 20, lines.append, ready=worker.start)
    worker.join()
    assert seen == 8, lines
    there, back = lines[:4], lines[4:]
    for line, label, target in zip(
        there,
        ["client/eth0", "router/to-client", "router/to-server", "server/eth0"],
        [VIP, VIP, SERVER, SERVER],
        strict=True,
    ):
        assert label in line
        assert f"> {target}:" in line
        assert line.endswith("UDP 8 B")
    assert f"{SERVER}:8080 >" in back[0]
    assert f"{VIP}:80 >" in back[-1]
    assert all(len(line) <= 80 for line in lines)
    check_file(out)


def check_file(out: Path) -> None:
    from scapy.layers.inet import IP
    from scapy.utils import rdpcap

    packets = rdpcap(str(out))
    assert [packet[IP].dst for packet in packets[:4]] == [VIP, VIP, SERVER, SERVER]
    assert bytes(packets[0][IP].payload.payload) == b"question"
    assert packets[0].time < packets[7].time
    tshark = shutil.which("tshark")
    if tshark is None:
        return
    fields = ("-e", "frame.interface_name", "-e", "frame.interface_description", "-e", "ip.dst")
    command = (tshark, "-r", str(out), "-T", "fields", *fields)
    rows = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    assert rows[0] == f"client/eth0\toutside\t{VIP}"
    assert rows[2] == f"router/to-server\t\t{SERVER}"
    assert len(rows) == 8


def test_filters_leave_out_what_they_say(lab: dict[str, str]) -> None:
    lines: list[str] = []
    worker = threading.Thread(target=exchange, args=(lab,))
    run_capture(points(lab), 2, None, f"dst host {SERVER}", 20, lines.append, ready=worker.start)
    worker.join()
    assert len(lines) == 2
    assert "router/to-server" in lines[0]
    assert "server/eth0" in lines[1]


def test_loopback_packets_are_seen_once(lab: dict[str, str]) -> None:
    def talk() -> None:
        with netns.open_socket(lab["router"], socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("127.0.0.1", 9))

    lines: list[str] = []
    point = CapturePoint(lab["router"], "lo", "router/lo")
    assert run_capture([point], 0, None, "udp", 0.5, lines.append, ready=talk) == 1
    assert " in " in lines[0]


@pytest.mark.parametrize("text", ["tcp prot 80", "host", "((("])
def test_bad_filters_are_explained(lab: dict[str, str], text: str) -> None:
    with pytest.raises(CaptureError, match="an example: `tcp port 80"):
        run_capture(points(lab), 1, None, text, 1)


def test_bad_places_are_named(lab: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="cannot capture on client/eth9"):
        run_capture([CapturePoint(lab["client"], "eth9", "client/eth9")], 1, None, "", 1)
    with pytest.raises(CaptureError, match="cannot capture on gone/eth0"):
        run_capture([CapturePoint(lab["client"] + "x", "eth0", "gone/eth0")], 1, None, "", 1)
    with pytest.raises(CaptureError, match="cannot write /nonexistent/x"):
        run_capture(points(lab), 1, "/nonexistent/x", "", 1)
    with pytest.raises(CaptureError, match="no interface"):
        run_capture([], 1)


def test_a_capture_that_cannot_start_leaves_an_older_file_alone(lab: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "x.pcapng"
    out.write_text("older")
    with pytest.raises(CaptureError):
        run_capture([*points(lab), CapturePoint(lab["client"], "eth9", "client/eth9")], 1, str(out), "", 1)
    assert out.read_text() == "older"


def test_lost_packets_are_owned_up_to(lab: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer of a few packets, and a thousand sent before anyone reads."""
    from netsim.cli import capture_socket

    monkeypatch.setattr(capture_socket, "RECEIVE_BUFFER", 2048)

    def flood() -> None:
        with netns.open_socket(lab["router"], socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(3000):
                sender.sendto(b"x" * 100, ("127.0.0.1", 9))

    lines: list[str] = []
    run_capture([CapturePoint(lab["router"], "lo", "router/lo")], 0, None, "", 1, lines.append, ready=flood)
    assert "packets lost" in lines[-1]


def test_what_passes_before_a_capture_begins_is_no_loss(lab: dict[str, str]) -> None:
    """scapy opens its socket with next to no buffer: of a busy interface it drops packets until it has one."""
    from netsim.cli.capture_socket import CaptureSocket

    over = threading.Event()

    def flood() -> None:
        with netns.open_socket(lab["router"], socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not over.is_set():
                sender.sendto(b"x" * 100, ("127.0.0.1", 9))

    worker = threading.Thread(target=flood)
    worker.start()
    try:
        lost = []
        for _ in range(20):
            with netns.run_in(lab["router"], CaptureSocket, "lo", compile_filter("tcp")) as sock:
                lost.append(sock.dropped())
    finally:
        over.set()
        worker.join()
    assert lost == [0] * 20


def test_ctrl_c_leaves_a_whole_file(lab: dict[str, str], tmp_path: Path) -> None:
    """Interrupted in the middle: exit status 0, what was seen is in the file."""
    out = tmp_path / "x.pcapng"
    program = (
        "from netsim.cli.capture_run import run_capture\n"
        "from netsim.lab.capture_plan import CapturePoint\n"
        f"run_capture([CapturePoint({lab['client']!r}, 'eth0', 'client/eth0')], 0, {str(out)!r}, 'udp',\n"
        "    30, lambda line: print(line, flush=True), ready=lambda: print('ready', flush=True))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen((sys.executable, "-c", program), stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        exchange(lab)
        assert "client/eth0" in process.stdout.readline()
        assert "client/eth0" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.kill()
            process.wait()
    from scapy.utils import rdpcap

    assert len(rdpcap(str(out))) == 2


def test_a_disappearing_interface_does_not_end_the_others(
    lab: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A pod deleted during a capture: its socket falls silent, the rest goes on."""
    lines: list[str] = []

    def act() -> None:
        with Netlink(lab["router"]) as router:
            router.delete_link("to-server")
        with netns.open_socket(lab["client"], socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("10.244.1.1", 9))

    worker = threading.Thread(target=act)
    chosen = [p for p in points(lab) if p.interface != "eth0" or "client" in p.label]
    assert run_capture(chosen, 2, None, "udp", 20, lines.append, ready=worker.start) == 2
    worker.join()
    assert "client/eth0" in lines[0]
    assert not caplog.text
