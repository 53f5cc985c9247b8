"""Objects made from others by naming what differs."""

from __future__ import annotations

import copy
from typing import Any


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with dotted paths set: {"spec.ports.0.port": 1}; the value ... deletes."""
    obj = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split("|" if "|" in path else ".")
        at: Any = obj
        for key in parents:
            at = at[int(key)] if isinstance(at, list) else at.setdefault(key, {})
        if value is ...:
            at.pop(last)
        elif isinstance(at, list):
            at[int(last) : int(last) + 1] = [value]
        else:
            at[last] = value
    return obj
