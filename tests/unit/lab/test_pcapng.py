"""The file format: what is written is read back by scapy and by tshark."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.lab import pcapng

FRAME = bytes.fromhex("ffffffffffff0a0000000001") + b"\x08\x00" + bytes(20)


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """(type, body) of each block; fails unless the two lengths of each agree and 4 divides them."""
    found = []
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert length % 4 == 0
        assert struct.unpack_from("<I", data, length - 4)[0] == length
        found.append((kind, data[8 : length - 4]))
        data = data[length:]
    return found


@given(
    st.integers(0, 3),
    st.integers(0, 2**63),
    st.binary(max_size=70),
    st.lists(st.text(max_size=9), max_size=3),
    st.sampled_from([0, pcapng.INBOUND, pcapng.OUTBOUND]),
)
def test_packet_blocks(number: int, time_ns: int, data: bytes, comments: list[str], direction: int) -> None:
    [(kind, body)] = blocks(pcapng.packet(number, time_ns, data, comments=comments, direction=direction))
    found, high, low, captured, length = struct.unpack_from("<IIIII", body)
    assert (kind, found, high << 32 | low) == (pcapng.PACKET, number, time_ns)
    assert (captured, length, body[20 : 20 + captured]) == (len(data), len(data), data)


def test_a_file_is_read_by_tshark_with_its_names(tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    path = tmp_path / "x.pcapng"
    path.write_bytes(
        pcapng.section_header("netsim test")
        + pcapng.interface("node-1/eth0", "node's way out")
        + pcapng.interface("web/eth0")
        + pcapng.host_names({"10.96.0.20": "web.default", "fd00::1": "six.default"})
        + pcapng.packet(1, 1_700_000_000_123_456_789, FRAME, comments=["hop 1", "DNAT"], length=99)
    )
    fields = ["frame.interface_name", "frame.comment", "frame.time_epoch", "frame.len"]
    command = [tshark, "-r", str(path), "-T", "fields", *(word for field in fields for word in ("-e", field))]
    row = (
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.rstrip("\n").split("\t")
    )
    assert row == ["web/eth0", "hop 1,DNAT", "1700000000.123456789", "99"]


def test_a_file_is_valid_after_each_block() -> None:
    parts = [pcapng.section_header("x"), pcapng.interface("a/b"), pcapng.packet(0, 1, FRAME)]
    assert [kind for kind, _ in blocks(b"".join(parts))] == [pcapng.SECTION, pcapng.INTERFACE, pcapng.PACKET]
