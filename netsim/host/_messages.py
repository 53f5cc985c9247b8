"""Encoding of rtnetlink messages with pyroute2's message classes; the only module that imports pyroute2.

Encoding a message with them takes 100 to 200 µs, and a pod takes a dozen. But all pods take the same dozen, with other
names and addresses: `encode` has pyroute2 encode the first message of each shape, learns where its values lie, and puts
the values of later ones there.
"""

from __future__ import annotations

import importlib
import importlib.util
import socket
import struct
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
IFINFO_SIZE = 16  # struct ifinfomsg
MAX_TEMPLATES = 256
MAX_KEPT = 256
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port id


@contextmanager
def _without_package_init(package: str) -> Iterator[None]:
    """Import submodules without running the package's __init__.

    pyroute2's imports everything it has, asyncio servers and DHCP clients too: 160 ms and 250 modules where the
    message classes take 45 ms and 10. An `import pyroute2` made later by somebody else still runs it.
    """
    if package in sys.modules:
        yield
        return
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    bare = types.ModuleType(package)
    bare.__path__ = list(spec.submodule_search_locations)
    bare.__spec__ = spec
    sys.modules[package] = bare
    try:
        yield
    finally:
        if sys.modules.get(package) is bare:
            del sys.modules[package]


with _without_package_init("pyroute2"):
    _CLASSES: dict[str, Any] = {
        name: getattr(importlib.import_module(f"pyroute2.netlink.rtnl.{name}"), name)
        for name in ("ifinfmsg", "ifaddrmsg", "rtmsg", "ndmsg")
    }

# A value of an attribute: scalar, or nested attributes as a tuple of pairs; all hashable.
Value = int | str | bytes | tuple[Any, ...]
Attrs = tuple[tuple[str, Value], ...]
Fields = tuple[tuple[str, int], ...]


# What a writer raises for a value that is not of its sort.
NOT_FOR_THIS = (ValueError, TypeError, AttributeError, OverflowError, OSError)
# How a value is written; which of these it is, is learnt from what pyroute2 wrote.
_WRITERS: tuple[Callable[[Any, int], bytes], ...] = (
    lambda value, length: int(value).to_bytes(length, sys.byteorder),
    lambda value, length: int(value).to_bytes(length, "big"),
    lambda value, _: memoryview(value).tobytes(),
    lambda value, _: bytes.fromhex(value.replace(":", "")),
    lambda value, _: socket.inet_pton(socket.AF_INET, value),
    lambda value, _: socket.inet_pton(socket.AF_INET6, value),
    lambda value, _: value.encode() + b"\0",
    lambda value, _: value.encode(),
)


@dataclass(frozen=True, slots=True)
class _Template:
    """A message of one shape: its bytes, the layout of its fixed part, and (offset, length, writer) of each value."""

    body: bytes
    fixed: struct.Struct
    names: tuple[str, ...]
    slots: tuple[tuple[int, int, Callable[[Any, int], bytes]], ...]

    def fill(self, fields: Fields, attrs: Attrs) -> bytes | None:
        """The message with these values; None when one does not fit its place."""
        given = dict(fields)
        buffer = bytearray(self.body)
        self.fixed.pack_into(buffer, 0, *[given.get(name, 0) for name in self.names])
        try:
            for (offset, length, write), value in zip(self.slots, _leaves(attrs), strict=True):
                data = write(value, length)
                if len(data) != length:
                    return None
                buffer[offset : offset + length] = data
        except NOT_FOR_THIS:
            return None
        return bytes(buffer)


_templates: dict[Any, _Template] = {}


@lru_cache(MAX_KEPT)
def encode(kind: str, fields: Fields, attrs: Attrs) -> bytes:
    """Body of a message without its netlink header.

    `kind` is ifinfmsg, ifaddrmsg, rtmsg or ndmsg; `fields` those of its fixed part; `attrs` nested pairs by their
    kernel names, for instance (("IFLA_IFNAME", "br0"), ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "bridge"),))). A nested
    message (a veth's peer) has its fixed fields among its attributes, told by their lower-case names.
    Half of what a pod takes is the same for all pods of a node: the last messages are kept whole.
    """
    shape = (kind, _shape(attrs))
    template = _templates.get(shape)
    if template is not None and (body := template.fill(fields, attrs)) is not None:
        return body
    body = encode_whole(kind, fields, attrs)
    if template is None and len(_templates) < MAX_TEMPLATES and (learnt := _learn(kind, body, fields, attrs)):
        _templates[shape] = learnt
    return body


def encode_whole(kind: str, fields: Fields, attrs: Attrs) -> bytes:
    """As `encode`, all by pyroute2."""
    message = _CLASSES[kind]()
    for name, value in fields:
        message[name] = value
    message["attrs"] = _expand(attrs)["attrs"]
    message.encode()
    return bytes(message.data[HEADER.size :])


def _shape(attrs: tuple[Any, ...]) -> tuple[Any, ...]:
    """What decides where values lie: names, nesting, and how long each text is. A kind of link is part of it."""
    found: list[Any] = []
    for name, value in attrs:
        if isinstance(value, tuple):
            found += name, _shape(value)
        elif name.endswith("_KIND") or name.islower():
            found += name, value
        else:
            found += name, _width(value)
    return tuple(found)


def _width(value: int | str | bytes) -> int | str:
    if isinstance(value, int):
        return "number"
    if isinstance(value, bytes):
        return len(value)
    # Addresses are as long as their family says, whatever the length of their text.
    if value.count(":") >= 2:
        return "mac" if len(value) == 17 and value.count(":") == 5 else "ipv6"
    return "ipv4" if value.count(".") == 3 and value.replace(".", "").isdigit() else len(value.encode())


def _leaves(attrs: tuple[Any, ...]) -> list[Any]:
    """The values, those of nested attributes in their place."""
    found: list[Any] = []
    for name, value in attrs:
        if isinstance(value, tuple):
            found += _leaves(value)
        elif not name.islower():
            found.append(value)
    return found


def _learn(kind: str, body: bytes, fields: Fields, attrs: Attrs) -> _Template | None:
    """Template of an encoded message; None when it cannot be taken apart, or does not give the same bytes again."""
    layout = _CLASSES[kind].fields
    fixed = struct.Struct("=" + "".join(code for _, code in layout))
    names = tuple(name for name, code in layout if "x" not in code)
    places = list(_places(body, fixed.size, attrs))
    slots = []
    for (offset, length), value in zip(places, _leaves(attrs), strict=True):
        data = body[offset : offset + length]
        writers = [writer for writer in _WRITERS if _written(writer, value, length) == data]
        # A number such as 0 is the same in both byte orders: another one will tell.
        if not writers or (length > 1 and len(writers) > 1):
            return None
        slots.append((offset, length, writers[0]))
    template = _Template(body, fixed, names, tuple(slots))
    return template if template.fill(fields, attrs) == body else None


def _written(writer: Callable[[Any, int], bytes], value: Any, length: int) -> bytes | None:
    """The value's bytes, None when the writer is not for values like this."""
    try:
        return writer(value, length)
    except NOT_FOR_THIS:
        return None


def _places(body: bytes, offset: int, attrs: tuple[Any, ...]) -> Iterator[tuple[int, int]]:
    """(offset, length) of every value in encoded attributes, which lie in the order in which they were given."""
    for name, value in attrs:
        if name.islower():
            continue
        length = ATTRIBUTE.unpack_from(body, offset)[0]
        start = offset + ATTRIBUTE.size
        if isinstance(value, tuple):
            nested = start + (IFINFO_SIZE if name == "VETH_INFO_PEER" else 0)
            yield from _places(body, nested, value)
        else:
            yield start, length - ATTRIBUTE.size
        offset += (length + 3) & ~3


def _expand(pairs: tuple[Any, ...]) -> dict[str, Any]:
    """The nested dict that pyroute2 takes for nested pairs."""
    expanded = [(name, _expand(value) if isinstance(value, tuple) else value) for name, value in pairs]
    fields = {name: value for name, value in expanded if name.islower()}
    return {**fields, "attrs": [pair for pair in expanded if not pair[0].islower()]}
