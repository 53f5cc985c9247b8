"""From objects to sets of fields: what a configuration names, and what differs between two objects.

Terms: an atomic value (a scalar, an atomic map or list) is one field. A granular map or list is a field of its own
only where it comes or goes as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from netsim.api import fieldset
from netsim.api.fieldset import LEAF, SELF, FieldSet
from netsim.api.fieldtypes import ANY, KEYED, MAP, SET, UNKNOWN, FieldType

Obj = dict[str, Any]
Change = tuple[FieldSet | None, FieldSet | None]
"""What was set (added or given another value) and what was removed; None for nothing."""

_ABSENT: Any = object()
_SHORT = 128
_NOTHING: Change = (None, None)


def item_key(kind: FieldType, item: Any) -> str:
    """The path element of a list's item. Keys it leaves out take their defaults, or are left out."""
    if kind.relation == SET or not isinstance(item, dict):
        return fieldset.value(item)
    if len(kind.keys) == 1:
        text = item.get(kind.keys[0])
        if type(text) is str and len(text) <= _SHORT:
            return _one_key(kind.keys[0], text)
    keys = {}
    for key in kind.keys:
        found = item.get(key, kind.defaults.get(key))
        if found is not None:
            keys[key] = found
    return fieldset.item(keys)


@lru_cache(2048)
def _one_key(key: str, text: str) -> str:
    """The path element of an item whose one key is a text: there are many conditions of the same type."""
    return fieldset.item({key: text})


def indexed(kind: FieldType, items: Iterable[Any]) -> dict[str, Any]:
    """A list's items by path element; of several alike the first."""
    found: dict[str, Any] = {}
    for item in items:
        found.setdefault(item_key(kind, item), item)
    return found


def _element(kind: FieldType) -> FieldType:
    return kind.element or UNKNOWN


def is_granular(kind: FieldType, value: Any) -> bool:
    """Whether a value of the type is looked into rather than taken as one."""
    found = type(value)
    if found is dict:
        return kind.relation in (MAP, ANY)
    return found is list and kind.relation in (KEYED, SET)


# --- what a configuration names ------------------------------------------------------------------------------------


def named_fields(kind: FieldType, obj: Obj) -> FieldSet:
    """The fields a configuration gives values for: its leaves, and the items of associative lists."""
    return _named(kind, obj) or {}


def _named(kind: FieldType, value: Any) -> FieldSet | None:
    """The node of a value; None when it names nothing."""
    if not is_granular(kind, value):
        return None if value is None and kind.relation in (KEYED, SET, MAP) else {}
    if type(value) is list:
        below = _element(kind)
        return {key: _whole(_named(below, item)) for key, item in indexed(kind, value).items()} or None
    found: FieldSet = {}
    for key, item in value.items():
        node = _named(kind.below(key), item)
        if item is None or item == {}:
            node = {}
        elif key not in kind.fields:
            node = _whole(node)
        if node is not None:
            found[f"f:{key}"] = node
    return found or None


def _whole(node: FieldSet | None) -> FieldSet:
    """A node whose own path is in the set."""
    return {SELF: {}, **node} if node and SELF not in node else node or {}


def with_structs(kind: FieldType, fields: FieldSet) -> FieldSet:
    """The set together with the declared fields that its paths lead through."""
    return {key: _with_struct(kind, key, node) if node else node for key, node in fields.items()}


def _with_struct(kind: FieldType, key: str, node: FieldSet) -> FieldSet:
    if key[:2] != "f:":
        return with_structs(_element(kind) if key[:2] == "k:" else UNKNOWN, node)
    name = key[2:]
    below = with_structs(kind.below(name), node)
    return _whole(below) if name in kind.fields else below


# --- what differs --------------------------------------------------------------------------------------------------


def all_fields(kind: FieldType, value: Any) -> FieldSet:
    """The node of a value that comes or goes as a whole: itself and everything in it."""
    if not value or not is_granular(kind, value):
        return LEAF
    node: FieldSet = {SELF: LEAF}
    if type(value) is list:
        below = _element(kind)
        for key, item in indexed(kind, value).items():
            node[key] = all_fields(below, item)
        return node
    fields, element = kind.fields, kind.element or UNKNOWN
    for key, item in value.items():
        plain = type(item) is not dict and type(item) is not list
        node["f:" + key] = LEAF if plain else all_fields(fields.get(key) or element, item)
    return node


def compare(kind: FieldType, old: Any, new: Any, empty: Any = None) -> Change:
    """How `new` differs from `old`, both there. `empty` is what the server takes for granted where a map lacks it."""
    if old == new:
        return _NOTHING
    if kind.relation in (KEYED, SET):
        old, new = [] if old is None else old, [] if new is None else new
    elif kind.relation == MAP or (kind.relation == ANY and (type(old) is dict or type(new) is dict)):
        old, new = {} if old is None else old, {} if new is None else new
    if not (old or new) or type(old) is not type(new) or not is_granular(kind, new):
        return LEAF, None
    if type(new) is list:
        return _compare_items(_element(kind), indexed(kind, old), indexed(kind, new))
    return _compare_maps(kind, old, new, empty or {})


def _compare_items(below: FieldType, old: dict[str, Any], new: dict[str, Any]) -> Change:
    changed: FieldSet = {}
    removed: FieldSet = {}
    for key, after in new.items():
        _note(changed, removed, key, _compare_one(below, old.get(key, _ABSENT), after, None))
    for key, before in old.items():
        if key not in new:
            removed[key] = all_fields(below, before)
    return changed or None, removed or None


def _compare_maps(kind: FieldType, old: Obj, new: Obj, empty: Obj) -> Change:
    changed: FieldSet = {}
    removed: FieldSet = {}
    for key, after in new.items():
        granted = empty.get(key, _ABSENT)
        before = old.get(key, granted)
        if before is not after:
            granted = granted if type(granted) is dict else None
            _note(changed, removed, "f:" + key, _compare_one(kind.below(key), before, after, granted))
    for key, before in old.items():
        if key not in new and before is not (granted := empty.get(key, _ABSENT)):
            nothing = granted if type(granted) is dict else None
            _note(changed, removed, "f:" + key, _compare_one(kind.below(key), before, granted, nothing))
    return changed or None, removed or None


def _compare_one(kind: FieldType, before: Any, after: Any, empty: Any) -> Change:
    if before is _ABSENT:
        return all_fields(kind, after), None
    if after is _ABSENT:
        return None, all_fields(kind, before)
    return compare(kind, before, after, empty)


def _note(changed: FieldSet, removed: FieldSet, key: str, change: Change) -> None:
    if change[0] is not None:
        changed[key] = change[0]
    if change[1] is not None:
        removed[key] = change[1]
