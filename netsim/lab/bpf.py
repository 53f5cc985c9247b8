"""Packet filters (classic BPF, bpf(4)) that look into tunnels as well. Pure."""

from __future__ import annotations

from collections.abc import Sequence

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, operand."""

INNER_FRAME = 14 + 20 + 8 + 8
"""Where the Ethernet frame in a VXLAN packet begins: after Ethernet, IPv4 without options, UDP and VXLAN headers."""
_CLASS, _MODE = 0x07, 0xE0
_LD, _LDX, _RET, _JUMP_ALWAYS = 0x00, 0x01, 0x06, 0x05
_ABSOLUTE, _INDIRECT, _HEADER_LENGTH = 0x20, 0x40, 0xA0
_ANCILLARY = 0xFFFFF000
"""Operands from here on are no offsets into the packet."""


def look_inside(program: Sequence[Instruction], tunnel: Sequence[Instruction]) -> list[Instruction]:
    """A filter that takes what `program` takes, and those packets of `tunnel` (VXLAN over IPv4) whose inner frame it
    takes."""
    outer = [_go_on(program, i) if _rejects(step) else step for i, step in enumerate(program)]
    known = [_go_on(tunnel, i) if _accepts(step) else step for i, step in enumerate(tunnel)]
    return [*outer, *known, *(_deeper(step) for step in program)]


def _go_on(program: Sequence[Instruction], at: int) -> Instruction:
    """Jump from instruction `at` to what follows the program."""
    return _JUMP_ALWAYS, 0, 0, len(program) - at - 1


def _rejects(step: Instruction) -> bool:
    return step[0] == _RET and step[3] == 0


def _accepts(step: Instruction) -> bool:
    return step[0] == _RET and step[3] != 0


def _deeper(step: Instruction) -> Instruction:
    """The same load from the inner frame."""
    code, true, false, operand = step
    loads = (code & _CLASS == _LD and code & _MODE in (_ABSOLUTE, _INDIRECT)) or (
        code & _CLASS == _LDX and code & _MODE == _HEADER_LENGTH
    )
    return (code, true, false, operand + INNER_FRAME) if loads and operand < _ANCILLARY else step
