"""Merging an applied configuration into an object, and taking items out of one (KEP-555; pure).

Inputs stay untouched; results may share parts with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from netsim.api.fieldset import FieldSet, is_member, render_path
from netsim.api.fieldtypes import ANY, KEYED, MAP, SET, UNKNOWN, FieldType
from netsim.api.fieldwalk import indexed, is_granular, item_key

Obj = dict[str, Any]

_ABSENT: Any = object()


def merge(kind: FieldType, live: Any, applied: Any) -> Any:
    """The live value with everything the configuration says. Granular maps and lists keep what it does not name;
    items of a list come in the configuration's order, the others where they were between them."""
    if live is _ABSENT or live is None:
        return applied
    if applied is None:
        return live if kind.relation in (MAP, KEYED, SET) else None
    if type(live) is not type(applied) or not is_granular(kind, applied):
        return applied
    if type(applied) is list:
        return _merge_lists(kind, live, applied)
    merged = dict(live)
    for key, value in applied.items():
        merged[key] = merge(kind.below(key), live.get(key, _ABSENT), value)
        if merged[key] is None:
            del merged[key]
    return merged


def _merge_lists(kind: FieldType, live: list[Any], applied: list[Any]) -> list[Any]:
    ours, theirs = indexed(kind, live), indexed(kind, applied)
    places = [item_key(kind, item) for item in live]
    merged: list[Any] = []
    position = 0
    done: set[str] = set()
    waiting = [key for key in theirs if key in ours]
    for key, item in theirs.items():
        taken, position = _before(places, position, theirs, done, waiting)
        merged += [live[index] for index in taken]
        merged.append(merge(kind.element or UNKNOWN, ours.get(key, _ABSENT), item) if kind.relation == KEYED else item)
        done.add(key)
        if waiting and waiting[0] == key:
            del waiting[0]
        if position < len(places) and places[position] == key:
            position += 1
    return merged + [live[index] for index in range(position, len(live)) if places[index] not in theirs]


def _before(
    places: list[str], position: int, theirs: dict[str, Any], done: set[str], waiting: list[str]
) -> tuple[list[int], int]:
    """The live items, from a position on, that stand before the next item both lists have."""
    taken = []
    while position < len(places):
        key = places[position]
        if key not in theirs:
            taken.append(position)
        elif waiting and key == waiting[0]:
            break
        elif not waiting and key in done:
            return taken, position + 1
        position += 1
    return taken, position


def remove(kind: FieldType, value: Any, gone: FieldSet) -> Any:
    """The value without the fields and items of a set; None stands where nothing of a map or list is left."""
    if not gone or not value or not is_granular(kind, value):
        return value
    if type(value) is list:
        return _remove_items(kind, value, gone)
    rest: Obj = {}
    for key, item in value.items():
        node = gone.get(f"f:{key}")
        if node is not None and is_member(node):
            continue
        rest[key] = remove(kind.below(key), item, node) if node is not None else item
    return rest or None


def _remove_items(kind: FieldType, items: list[Any], gone: FieldSet) -> list[Any] | None:
    rest = []
    for item in items:
        node = gone.get(item_key(kind, item))
        if node is None:
            rest.append(item)
        elif not is_member(node):
            rest.append(remove(kind.element or UNKNOWN, item, node))
    return rest or None


def without_nulls(value: Any) -> Any:
    """The value without map entries that are None."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def misfits(kind: FieldType, value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Why a configuration is none of the type: undeclared fields, wrong types, list items without or with the same
    keys. Each is `PATH: reason`."""
    if value is None or kind.relation == ANY:
        return
    wrong = _wrong_shape(kind, value)
    if wrong:
        yield f"{render_path(path)}: {wrong}"
    elif isinstance(value, dict):
        yield from _misfits_in_map(kind, value, path)
    elif isinstance(value, list):
        yield from _misfits_in_list(kind, value, path)


def _misfits_in_map(kind: FieldType, value: Obj, path: tuple[str, ...]) -> Iterator[str]:
    for key, item in value.items():
        below = (*path, f"f:{key}")
        if key in kind.fields or kind.element is not None:
            yield from misfits(kind.below(key), item, below)
        elif kind.fields:
            yield f"{render_path(below)}: field not declared in schema"
            return  # as in Kubernetes, which looks at no other field of the map then


def _misfits_in_list(kind: FieldType, items: list[Any], path: tuple[str, ...]) -> Iterator[str]:
    seen: set[str] = set()
    below = kind.element or UNKNOWN
    for index, item in enumerate(items):
        if kind.relation == KEYED and isinstance(item, dict):
            yield from (f"{render_path(path)}: element {index}: {why}" for why in _missing_keys(kind, item))
        key = item_key(kind, item) if kind.relation in (KEYED, SET) else f"i:{index}"
        if key in seen:
            yield f"{render_path(path)}: duplicate entries for key {render_path((key,))}"
        seen.add(key)
        yield from misfits(below, item, (*path, key))


def _missing_keys(kind: FieldType, item: Obj) -> Iterator[str]:
    if not any(key in item for key in kind.keys):
        keys = ", ".join(f'"{key}"' for key in kind.keys)
        yield f"associative list with keys has an element that omits all key fields {keys}"
        return
    for key in kind.keys:
        if key not in item and key not in kind.defaults:
            yield (
                f'associative list with keys has an element that omits key field "{key}" '
                "(and doesn't have default value)"
            )


_SHAPES: dict[str, tuple[tuple[type, ...], str]] = {
    "map": ((dict,), "map"),
    "list": ((list,), "list"),
    "string": ((str,), "string"),
    "numeric": ((int, float), "numeric (int or float)"),
    "boolean": ((bool,), "boolean"),
}
_NAMES = {dict: "map", list: "list", str: "string", bool: "boolean", int: "int", float: "float"}


def _wrong_shape(kind: FieldType, value: Any) -> str:
    """Why a value cannot be one of the type, "" if it can."""
    if kind.shape not in _SHAPES:
        return ""
    types, name = _SHAPES[kind.shape]
    if isinstance(value, types) and isinstance(value, bool) == (kind.shape == "boolean"):
        return ""
    if name == "string" and not isinstance(value, (dict, list)):
        return f"expected string, got &value.valueUnstructured{{Value:{orjson.dumps(value).decode()}}}"
    return f"expected {name}, got {_NAMES.get(type(value), 'null')}"
