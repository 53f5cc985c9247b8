"""JSON read and refused in the words of Go's encoding/json."""

from __future__ import annotations

from typing import Any

import orjson

_SURELY_FLAT = 200


def _position(text: str, index: int) -> str:
    """What Go's JSON reader was looking for at a position, from the character before it."""
    before = text[:index].rstrip()[-1:]
    if before in "{" and before:
        return "looking for beginning of object key string"
    if before in ("", ":", "[", ","):
        return "looking for beginning of value"
    return "after object key:value pair"


def _problem(text: str, index: int) -> str:
    """A JSON syntax error in the words of Go's encoding/json."""
    if index >= len(text):
        return "unexpected end of JSON input"
    return f"invalid character '{text[index]}' {_position(text, index)}"


def parse_json(body: bytes) -> Any:
    """JSON to Python; a syntax error is a ValueError with Go's words. What it takes can also be written again."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        text = body.decode("utf-8", "replace")
        raise ValueError(_problem(text, error.pos)) from None
    if body.count(b"[") + body.count(b"{") > _SURELY_FLAT:
        try:
            orjson.dumps(value)
        except TypeError:
            raise ValueError("exceeded max depth") from None
    return value


def go_type(value: object) -> str:
    """What Go's JSON reader calls a value."""
    names = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")
