"""The three patch formats: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch.

All take and give plain JSON values and leave their inputs untouched. Results may share parts with the inputs.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, cast

from netsim.api.kinds import Obj
from netsim.api.patch_errors import PatchError
from netsim.api.strategic import strategic_merge_patch

__all__ = ["PatchError", "json_patch", "merge_patch", "strategic_merge_patch"]

_OPERATION_LIMIT = 10_000
_COPY_LIMIT = 3 * 1024 * 1024
_DEPTH_LIMIT = 100


def merge_patch(doc: Any, patch: Any) -> Any:
    """RFC 7386: objects merge, null deletes, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(doc) if isinstance(doc, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def json_patch(doc: Any, ops: Any) -> Any:
    """RFC 6902, all six operations in order, all or nothing. Raises PatchError, with code 400 for what is no JSON
    patch and 422 for one that does not fit the document."""
    if not isinstance(ops, list):
        raise PatchError("a JSON patch must be a list of operations", 400)
    if len(ops) > _OPERATION_LIMIT:
        raise PatchError(f"a JSON patch may have at most {_OPERATION_LIMIT} operations", 413)
    result, copied = copy.deepcopy(doc), 0
    for op in ops:
        result = _apply(result, op)
        if op["op"] == "copy":
            # A few that copy into what they copy would double the document each time.
            copied += len(json.dumps(_get(result, _pointer(op, "from"))))
            if copied > _COPY_LIMIT:
                raise PatchError(f"the copy operations of a JSON patch may copy at most {_COPY_LIMIT} bytes", 413)
    return result


def _apply(doc: Any, op: Any) -> Any:
    if not isinstance(op, dict) or not isinstance(op.get("op"), str):
        raise PatchError(f"{op!r} is no JSON patch operation; op must be one of {', '.join(_OPERATIONS)}")
    if op["op"] not in _OPERATIONS:
        raise PatchError(f"Unexpected kind: {op['op']}")
    return _OPERATIONS[op["op"]](doc, op)


def _add(doc: Any, op: Obj) -> Any:
    return _insert(doc, _pointer(op, "path"), copy.deepcopy(op.get("value")))


def _remove(doc: Any, op: Obj) -> Any:
    return _take(doc, _pointer(op, "path"))[1]


def _replace(doc: Any, op: Obj) -> Any:
    path = _pointer(op, "path")
    if not path:
        return copy.deepcopy(op.get("value"))
    parent = _get(doc, path[:-1])
    if not isinstance(parent, dict):  # of a map Kubernetes' library sets the key, there or not
        _get(doc, path)
    parent[_index(parent, path[-1]) if isinstance(parent, list) else path[-1]] = copy.deepcopy(op.get("value"))
    return doc


def _move(doc: Any, op: Obj) -> Any:
    source, target = _pointer(op, "from"), _pointer(op, "path")
    if len(target) > len(source) and target[: len(source)] == source:
        raise PatchError(f"cannot move {op['from']} into its own child {op['path']}")
    value, rest = _take(doc, source)
    return _insert(rest, target, value)


def _copy(doc: Any, op: Obj) -> Any:
    return _insert(doc, _pointer(op, "path"), copy.deepcopy(_get(doc, _pointer(op, "from"))))


def _test(doc: Any, op: Obj) -> Any:
    found = _get(doc, _pointer(op, "path"))
    if not _same(found, op.get("value")):
        raise PatchError(f"testing value {op['path']} failed")
    return doc


_OPERATIONS: dict[str, Callable[[Any, Obj], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return cast(bool, left == right)


def _pointer(op: Obj, member: str) -> list[str]:
    text = op.get(member)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise PatchError(f"the {op['op']} operation needs {member!r}, a JSON pointer such as /spec/replicas")
    parts = text.split("/")[1:]
    if len(parts) > _DEPTH_LIMIT:
        raise PatchError(f"a JSON pointer may have at most {_DEPTH_LIMIT} parts", 400)
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def _index(parent: list[Any], token: str, *, end: bool = False) -> int:
    limit = len(parent) + (1 if end else 0)
    if end and token == "-":
        return len(parent)
    if not token.isascii() or not token.isdigit() or (len(token) > 1 and token[0] == "0") or int(token) >= limit:
        raise PatchError(f"{token!r} is no index of a list of {len(parent)}")
    return int(token)


def _get(doc: Any, path: list[str]) -> Any:
    for token in path:
        if isinstance(doc, list):
            doc = doc[_index(doc, token)]
        elif isinstance(doc, dict) and token in doc:
            doc = doc[token]
        else:
            raise PatchError(f"there is no /{'/'.join(path)} in the object")
    return doc


def _insert(doc: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(doc, path[:-1])
    if isinstance(parent, list):
        parent.insert(_index(parent, path[-1], end=True), value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise PatchError(f"/{'/'.join(path[:-1])} is neither a map nor a list")
    return doc


def _take(doc: Any, path: list[str]) -> tuple[Any, Any]:
    value = _get(doc, path)
    if not path:
        return value, None
    parent = _get(doc, path[:-1])
    del parent[_index(parent, path[-1]) if isinstance(parent, list) else path[-1]]
    return value, doc
