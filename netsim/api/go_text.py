"""Texts as Go prints them (pure)."""

from __future__ import annotations

from typing import Any

from netsim.cel.escapes import ESCAPES

_LARGEST_PLAIN = 1e21
_TYPES = {
    type(None): "<nil>", bool: "bool", int: "int64", float: "float64", str: "string",
    list: "[]interface {}", dict: "map[string]interface {}",
}  # fmt: skip


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


def type_of(value: Any) -> str:
    """The Go type of a JSON value, as %T prints it."""
    return _TYPES[type(value)]


def printed(value: Any) -> str:
    """A JSON value as %v prints it: `q`, `1.5`, `[a b]`, `map[a:1 b:<nil>]`."""
    if value is None or isinstance(value, bool):
        return {None: "<nil>", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{' '.join(map(printed, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{printed(value[key])}' for key in sorted(value))}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_PLAIN:
        return str(int(value))
    return str(value)
