"""Sets of field paths in the form of FieldsV1, and their algebra (KEP-555, "FieldsV1").

A set is a map from path elements to nodes: `f:NAME` (a field), `k:{KEYS}` (an item of an associative list), `v:VALUE`
(an item of a set), `i:N` (an index). A node is again such a map; the path that leads to it is in the set when the
node is empty or holds ".". So the JSON of managedFields is worked on as it is. Sets are shared: none is ever changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

FieldSet = dict[str, Any]

SELF = "."
LEAF: FieldSet = {}
"""The node of a field with nothing below it; shared, as sets are."""
_PREFIXES = ("f:", "k:", "v:", "i:")
_MAX_DEPTH = 100


def field(name: str) -> str:
    """The path element of a field or map key."""
    return f"f:{name}"


def item(keys: dict[str, Any]) -> str:
    """The path element of an item of an associative list."""
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()


def value(scalar: Any) -> str:
    """The path element of an item of a set."""
    return "v:" + orjson.dumps(scalar).decode()


def is_member(node: FieldSet) -> bool:
    """Whether the path to a node is itself in the set."""
    return not node or SELF in node


def node_of(children: FieldSet, *, member: bool) -> FieldSet | None:
    """A node with these children; None for one that holds nothing."""
    if not children:
        return LEAF if member else None
    return {SELF: LEAF, **children} if member else children


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """What is in either set; `left` itself when that is all of it."""
    if not left:
        return right or left
    joined = left
    for key, node in right.items():
        mine = left.get(key)
        both = node if mine is None else _join(mine, node)
        if both is not mine:
            if joined is left:
                joined = dict(left)
            joined[key] = both
    return joined


def _join(left: FieldSet, right: FieldSet) -> FieldSet:
    if not right:
        return left if is_member(left) else {SELF: LEAF, **left}
    if not left:
        return right if SELF in right else {SELF: LEAF, **right}
    return union(left, right)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """What is in `left` but not in `right`; `left` itself when that is all of it."""
    if not left or not right or left.keys().isdisjoint(right):
        return left
    rest: FieldSet = {}
    same = True
    for key, node in left.items():
        kept = _minus(node, right[key]) if key in right else node
        same = same and kept is node
        if kept is not None:
            rest[key] = kept
    return left if same else rest


def _minus(left: FieldSet, right: FieldSet) -> FieldSet | None:
    if not left:
        return None if is_member(right) else left
    if not right:
        return {key: node for key, node in left.items() if key != SELF} if SELF in left else left
    rest = difference(left, right)
    if not rest:
        return None
    return LEAF if len(rest) == 1 and SELF in rest else rest


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """What is in both sets."""
    if left.keys().isdisjoint(right):
        return {}
    both = {key: _common(node, right[key]) for key, node in left.items() if key in right}
    return {key: node for key, node in both.items() if node is not None}


def _common(left: FieldSet, right: FieldSet) -> FieldSet | None:
    member = is_member(left) and is_member(right)
    children = {key: node for key, node in intersection(left, right).items() if key != SELF}
    return node_of(children, member=member)


def only(fields: FieldSet, *path: str) -> FieldSet:
    """The part of a set at and below one path."""
    if not path or path[0] not in fields:
        return {} if path else fields
    if len(path) == 1:
        return {path[0]: fields[path[0]]}
    below = only(fields[path[0]], *path[1:])
    return {path[0]: below} if below else {}


def without(fields: FieldSet, *path: str) -> FieldSet:
    """A set without one path and all below it."""
    if path[0] not in fields:
        return fields
    rest = {key: node for key, node in fields.items() if key != path[0]}
    if len(path) > 1:
        node = fields[path[0]]
        below = without(node, *path[1:])
        if below or not node:
            rest[path[0]] = {} if len(below) == 1 and SELF in below else below
    return rest


def paths(fields: FieldSet, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every path in a set, as its elements: those that end at a level before those that go on from it, each by name."""
    below = [(key, node) for key, node in sorted(fields.items()) if key != SELF]
    yield from ((*prefix, key) for key, node in below if is_member(node))
    for key, node in below:
        yield from paths(node, (*prefix, key))


def render_path(path: tuple[str, ...]) -> str:
    """A path as messages name it, such as `.spec.containers[name="c"].image`."""
    return "".join(map(_render_element, path))


def _render_element(element: str) -> str:
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return f".{text}"
    if kind == "k:":
        keys = orjson.loads(text)
        return "[" + ",".join(f"{key}={orjson.dumps(keys[key]).decode()}" for key in sorted(keys)) + "]"
    return f"[={text}]" if kind == "v:" else f"[{text}]"


def is_field_set(fields: Any, depth: int = 0) -> bool:
    """Whether a JSON value is a FieldsV1 set."""
    if not isinstance(fields, dict) or depth > _MAX_DEPTH:
        return False
    return all(_is_element(key) and is_field_set(node, depth + 1) for key, node in fields.items())


def _is_element(key: str) -> bool:
    if key == SELF:
        return True
    if key[:2] not in _PREFIXES:
        return False
    if key[:2] == "f:":
        return True
    try:
        parsed = orjson.loads(key[2:])
    except orjson.JSONDecodeError:
        return False
    return isinstance(parsed, {"k:": dict, "i:": int}.get(key[:2], object))
