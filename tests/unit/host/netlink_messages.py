"""Netlink messages as pyroute2 encodes them: what ours are compared with, and what answers are made of."""

from __future__ import annotations

import importlib
from typing import Any

from netsim.host._messages import HEADER

_CLASSES = {
    name: getattr(importlib.import_module(f"pyroute2.netlink.rtnl.{name}"), name)
    for name in ("ifinfmsg", "ifaddrmsg", "rtmsg", "ndmsg")
}


def encode_by_pyroute2(kind: str, fields: Any, attrs: Any) -> bytes:
    """As `netsim.host._messages.encode`; the fixed fields of a nested message are told by their lower-case names."""
    message = _CLASSES[kind]()
    for name, value in fields:
        message[name] = value
    message["attrs"] = _expand(attrs)["attrs"]
    message.encode()
    return bytes(message.data[HEADER.size :])


def _expand(pairs: Any) -> dict[str, Any]:
    """The nested dict that pyroute2 takes for nested pairs."""
    expanded = [(name, _expand(value) if isinstance(value, tuple) else value) for name, value in pairs]
    fields = {name: value for name, value in expanded if name.islower()}
    return {**fields, "attrs": [pair for pair in expanded if not pair[0].islower()]}
