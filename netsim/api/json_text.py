"""JSON read and refused in the words of Go's encoding/json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

_SURELY_FLAT = 200


_TOKEN = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"?|[][{}]')
"""Texts and brackets: what else there is need not be looked at to know where one is."""
_VALUE, _KEY = "looking for beginning of value", "looking for beginning of object key string"


def _position(text: str, index: int) -> str:
    """What Go's JSON reader was about to read at a position, from what is before it."""
    opened, start, end = list[str](), 0, 0
    for token in _TOKEN.finditer(text, 0, index):
        found = token[0]
        if found in ("{", "["):
            opened.append(found)
        elif found in ("}", "]"):
            opened.pop()
        else:
            start, end = token.span()
    written = text[:index].rstrip()
    before = text[start:end] if end >= len(written) else written[-1:]
    if before[:1] == '"' and (len(before) == 1 or before[-1] != '"'):
        return "in string literal"
    if not before or before in ("[", ":") or (before == "," and opened[-1:] == ["["]):
        return _VALUE
    if before in ("{", ","):
        return _KEY
    if not opened:
        return "after top-level value"
    if opened[-1] == "[":
        return "after array element"
    is_key = before[:1] == '"' and text[:start].rstrip()[-1:] != ":"
    return "after object key" if is_key else "after object key:value pair"


def _shown(char: str) -> str:
    """A character as Go quotes it."""
    if char == "'":
        return r"'\''"
    return f"'{char}'" if char.isprintable() else f"'\\x{ord(char):02x}'"


_LITERALS = {"t": "true", "f": "false", "n": "null"}
_ENDED_TOO_EARLY = re.compile(r",\s*([}\]])")


def _problem(text: str, index: int) -> str:
    """A JSON syntax error in the words of Go's encoding/json. `index` is where the parser gave up: the beginning of a
    literal or escape that is none, the comma behind which nothing comes."""
    where = _position(text, index)
    early = _ENDED_TOO_EARLY.match(text, index)
    if early:
        where, index = _position(text, early.start(1)), early.start(1)
    elif text[index : index + 1] == "\\":
        where, index = "in string escape code", index + 1
    elif where == _VALUE and text[index : index + 1] in _LITERALS:
        word = _LITERALS[text[index]]
        at = next((i for i, char in enumerate(word) if text[index + i : index + i + 1] != char), 0)
        where, index = f"in literal {word} (expecting '{word[at]}')", index + at
    if index >= len(text):
        return "unexpected end of JSON input"
    return f"invalid character {_shown(text[index])} {where}"


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


class Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that repeated keys are still there."""


class Literal(float):
    """A number that is no integer, and how it is written."""

    text: str

    def __new__(cls, text: str) -> Literal:
        number = super().__new__(cls, text)
        number.text = text
        return number


def as_written(text: bytes) -> Any:
    """JSON with every key and digit that is in the text. Raises ValueError for what is not JSON."""
    return json.loads(text, object_pairs_hook=Pairs, parse_float=Literal)


_TYPES: tuple[tuple[Any, str], ...] = (
    (bool, "bool"), (str, "string"), ((int, float), "number"), ((dict, Pairs), "object"), (list, "array")
)  # fmt: skip


def json_type(value: Any) -> str:
    """What Go's JSON reader calls a value."""
    return next((name for types, name in _TYPES if isinstance(value, types)), "null")


def duplicate_fields(text: bytes) -> list[str]:
    """The paths of fields that a JSON text gives more than once. Raises ValueError for what is not JSON."""
    return list(dict.fromkeys(_repeated(as_written(text), "")))


def _repeated(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Pairs):
        seen: set[str] = set()
        for key, item in value:
            where = f"{path}.{key}" if path else key
            if key in seen:
                yield where
            seen.add(key)
            yield from _repeated(item, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _repeated(item, f"{path}[{index}]")
