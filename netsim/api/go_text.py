"""Texts as Go prints them (pure)."""

from __future__ import annotations

from netsim.cel.escapes import ESCAPES


def quoted(text: str) -> str:
    """A text in quotes, as strconv.Quote has it."""
    return '"' + "".join(map(_shown, text)) + '"'


def _shown(char: str) -> str:
    if char in ESCAPES:
        return ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
