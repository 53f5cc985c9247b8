"""Encoding of rtnetlink messages with pyroute2's message classes; the only module that imports pyroute2.

`encode` is pure and remembers what it encoded: most messages of a pod are the same as those of the pod before.
"""

from __future__ import annotations

import importlib
import importlib.util
import struct
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

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


@lru_cache(maxsize=512)
def encode(kind: str, fields: Fields, attrs: Attrs) -> bytes:
    """Body of a message without its netlink header.

    `kind` is ifinfmsg, ifaddrmsg, rtmsg or ndmsg; `fields` those of its fixed part; `attrs` nested pairs by their
    kernel names, for instance (("IFLA_IFNAME", "br0"), ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "bridge"),))). A nested
    message (a veth's peer) has its fixed fields among its attributes, told by their lower-case names.
    """
    message = _CLASSES[kind]()
    for name, value in fields:
        message[name] = value
    message["attrs"] = _expand(attrs)["attrs"]
    message.encode()
    return bytes(message.data[HEADER.size :])


def _expand(pairs: tuple[Any, ...]) -> dict[str, Any]:
    """The nested dict that pyroute2 takes for nested pairs."""
    expanded = [(name, _expand(value) if isinstance(value, tuple) else value) for name, value in pairs]
    fields = {name: value for name, value in expanded if name.islower()}
    return {**fields, "attrs": [pair for pair in expanded if not pair[0].islower()]}
