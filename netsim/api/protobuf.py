"""Protobuf request bodies, decoded to the JSON objects they stand for (kubectl 1.32 and later sends them).

`protobuf.json` holds the field facts, taken from the protobuf and JSON tags of the API's Go types:
`{"roots": {"v1/Pod": MESSAGE}, "messages": {MESSAGE: {NUMBER: [json name, type, flags]}}}`. A type is a scalar, a
special message or ".MESSAGE"; flags: r repeated, m map with string keys, i inlined into the parent, k kept when zero
(optional fields, and those JSON never omits).
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

from netsim.api.kinds import Obj
from netsim.api.times import format_micro_time, format_time

MAGIC = b"k8s\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEPTH_LIMIT = 64

Field = tuple[str, str, str]
Messages = dict[str, dict[int, Field]]


class ProtobufError(ValueError):
    """The body is no Kubernetes protobuf message, or of a kind without field facts; the API answers 400."""


@cache
def _facts() -> tuple[dict[str, str], Messages]:
    facts = json.loads(Path(__file__).with_name("protobuf.json").read_bytes())
    messages = {
        name: {int(number): (row[0], row[1], row[2] if len(row) > 2 else "") for number, row in rows.items()}
        for name, rows in facts["messages"].items()
    }
    return facts["roots"], messages


@cache
def fields_of(message: str) -> tuple[Field, ...]:
    """(json name, type, flags) of every field of a message, those of inlined messages among them; none if it is not
    known."""
    found: list[Field] = []
    for name, form, flags in _facts()[1].get(message, {}).values():
        found += fields_of(form[1:]) if "i" in flags else [(name, form, flags)]
    return tuple(found)


def inlined(message: str) -> dict[str, str]:
    """{json name: message} of the fields that a message has from messages inlined into it."""
    rows = _facts()[1].get(message, {}).values()
    parts = [form[1:] for _, form, flags in rows if "i" in flags]
    return {field: part.rpartition(".")[2] for part in parts for field, _, _ in fields_of(part)}


_DELETE_OPTIONS = "v1/DeleteOptions"
"""They belong to every version of every group; client-go sends them as of the group of what is deleted."""


def decode(body: bytes) -> Obj:
    """The JSON object in an enveloped body (4 bytes "k8s\\0", then runtime.Unknown). Fields unknown to the facts are
    skipped. Raises ProtobufError."""
    if not body.startswith(MAGIC):
        raise ProtobufError("the body does not start with the protobuf magic 6b 38 73 00")
    api_version = kind = content_type = ""
    raw = b""
    for number, value in _fields(memoryview(body)[len(MAGIC) :]):
        if number == 1:
            api_version, kind = _type_meta(value)
        elif number == 2:
            raw = _data(value)
        elif number == 4:
            content_type = _text(value)
    head = {"apiVersion": api_version, "kind": kind}
    if content_type == "application/json":
        return {**head, **_json(raw)}
    root = _facts()[0].get(_DELETE_OPTIONS if kind == "DeleteOptions" else f"{api_version}/{kind}")
    if root is None:
        raise ProtobufError(f'no kind "{kind}" is known in version "{api_version}" as protobuf; send it as JSON')
    return {**head, **_message(raw, root, 0)}


def _type_meta(value: Any) -> tuple[str, str]:
    found = dict(_fields(_data(value)))
    return _text(found.get(1, b"")), _text(found.get(2, b""))


# --- the wire ----------------------------------------------------------------------------------------------------


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (2**64 - 1), at
    raise ProtobufError("the body ends in the middle of a number, or a number is longer than ten bytes")


def _fields(source: memoryview | bytes) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, integer or bytes) of one message, in order."""
    data, at = memoryview(source), 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ProtobufError(f"field {number} has the unknown wire type {wire}")
        if size > len(data) - at:
            raise ProtobufError(f"field {number} is longer than what is left of the body")
        yield number, data[at : at + size]
        at += size


def _data(value: int | memoryview | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtobufError("a number stands where bytes are expected")
    return bytes(value)


def _text(value: int | memoryview | bytes) -> str:
    try:
        return _data(value).decode()
    except UnicodeDecodeError as error:
        raise ProtobufError(f"a text is not UTF-8: {error}") from error


def _int(value: int | memoryview | bytes) -> int:
    if not isinstance(value, int):
        raise ProtobufError("bytes stand where a number is expected")
    return value - 2**64 if value >= 2**63 else value


# --- values ------------------------------------------------------------------------------------------------------


def _time_parts(value: Any) -> tuple[int, int]:
    found = dict(_fields(_data(value)))
    return _int(found.get(1, 0)), _int(found.get(2, 0))


def _moment(value: Any, render: Callable[[datetime], str]) -> str:
    seconds, nanos = _time_parts(value)
    if not seconds and not nanos:
        return ""
    try:
        return render(_EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000))
    except OverflowError as error:
        raise ProtobufError(f"{seconds} seconds since 1970 is no time in years 1 to 9999") from error


def _int_or_string(value: Any) -> int | str:
    found = dict(_fields(_data(value)))
    return _text(found.get(3, b"")) if _int(found.get(1, 0)) == 1 else _int(found.get(2, 0))


def _double(value: Any) -> float | int:
    data = _data(value)
    if len(data) != 8:
        raise ProtobufError("a number of 64 bits is expected")
    [number] = struct.unpack("<d", data)
    return int(number) if number.is_integer() else float(number)


def _json(value: Any) -> Any:
    try:
        return json.loads(_data(value) or b"{}")
    except ValueError as error:
        raise ProtobufError(f"embedded JSON is broken: {error}") from error


def _first(value: Any) -> Any:
    """Field 1 of a wrapper message, empty bytes if absent."""
    return dict(_fields(_data(value))).get(1, b"")


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "int": _int,
    "bool": lambda value: bool(_int(value)),
    "double": _double,
    "bytes": lambda value: base64.b64encode(_data(value)).decode(),
    "Time": lambda value: _moment(value, format_time),
    "MicroTime": lambda value: _moment(value, format_micro_time),
    "IntOrString": _int_or_string,
    "Quantity": lambda value: _text(_first(value)),
    "Json": lambda value: _json(_first(value)),
    "StringList": lambda value: [_text(item) for number, item in _fields(_data(value)) if number == 1],
}


def _value(value: Any, kind: str, depth: int) -> Any:
    if kind.startswith("."):
        return _message(_data(value), kind[1:], depth + 1)
    return _SCALARS[kind](value)


def _message(data: bytes, name: str, depth: int) -> Obj:
    if depth > _DEPTH_LIMIT:
        raise ProtobufError(f"messages are nested deeper than {_DEPTH_LIMIT}")
    table, obj = _facts()[1][name], cast(Obj, {})
    for number, value in _fields(data):
        field = table.get(number)
        if field is not None:
            _set(obj, field, value, depth)
    return obj


def _set(obj: Obj, field: Field, value: Any, depth: int) -> None:
    name, kind, flags = field
    if "m" in flags:
        entry = dict(_fields(_data(value)))
        obj.setdefault(name, {})[_text(entry.get(1, b""))] = _value(entry.get(2, b""), kind, depth)
    elif "r" in flags:
        obj.setdefault(name, []).extend(_repeated(value, kind, depth))
    elif "i" in flags:
        obj.update(_value(value, kind, depth))
    else:
        found = _value(value, kind, depth)
        if found not in ("", 0, False, {}) or "k" in flags:
            obj[name] = found


def _repeated(value: Any, kind: str, depth: int) -> Iterator[Any]:
    if kind == "int" and not isinstance(value, int):
        yield from _packed(memoryview(value))
    else:
        yield _value(value, kind, depth)


def _packed(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = _varint(data, at)
        yield _int(number)
