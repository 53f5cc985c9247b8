"""Fields, keys and items of values."""

from __future__ import annotations

from typing import Any

from netsim.cel.errors import EvaluationError, no_such_overload
from netsim.cel.standard import show
from netsim.cel.values import NONE, Optional, find, is_missing


def has(owner: Any, field: str) -> bool:
    """has(owner.field)."""
    if isinstance(owner, Optional):
        return not owner.empty and has(owner.value, field)
    if not isinstance(owner, dict):
        raise no_such_overload()
    return field in owner


def maybe(owner: Any, key: Any) -> Optional:
    """owner.?key and owner[?key]: none if it is not there."""
    if isinstance(owner, Optional):
        return owner if owner.empty else maybe(owner.value, key)
    if isinstance(owner, dict):
        found = find(owner, key)
        return NONE if is_missing(found) else Optional(found)
    place = _place(owner, key)
    return Optional(owner[place]) if 0 <= place < len(owner) else NONE


def at(owner: Any, key: Any) -> Any:
    """owner[key]; a list also takes a whole number of another type, where types are not known before."""
    if isinstance(owner, dict):
        value = find(owner, key)
        if is_missing(value):
            raise EvaluationError(f"no such key: {show(key)}")
        return value
    if isinstance(owner, Optional):
        return maybe(owner, key)
    place = _place(owner, key)
    if not 0 <= place < len(owner):
        raise EvaluationError(f"index out of bounds: {place}")
    return owner[place]


def _place(owner: Any, key: Any) -> int:
    """The index that a key is of a list."""
    if not isinstance(owner, list) or not isinstance(key, (int, float)) or isinstance(key, bool):
        raise no_such_overload()
    if isinstance(key, float) and not key.is_integer():
        raise EvaluationError(f"unsupported index value: {key}")
    return int(key)
