"""Strategic merge patch, driven by the merge keys and strategies of `schema.json`.

Semantics (Kubernetes docs, "Update API Objects in Place Using kubectl patch"; api-machinery's strategic-merge-patch
proposal): maps merge, null deletes, lists merge by key or as sets where the schema says so and are replaced otherwise;
directives `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/LIST` and `$setElementOrder/LIST`. Order of a merged
list: the elements of the patch in the order the patch (or `$setElementOrder`) gives them, the others where they were;
where nothing tells, the patch's come first.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from netsim.api.kinds import Obj
from netsim.api.patch_errors import PatchError
from netsim.api.patch_words import go_map
from netsim.api.schema import REF, Schema, resolve

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_STRATEGY = "x-kubernetes-patch-strategy"
_MERGE_KEY = "x-kubernetes-patch-merge-key"


def strategic_merge_patch(doc: Obj, patch: Any, schema_type: str) -> Obj:
    """`doc` with `patch` applied; `schema_type` is the OpenAPI name of the object's type (`schema.type_of_kind`).
    Raises PatchError."""
    if not isinstance(patch, dict):
        raise PatchError("a strategic merge patch must be a map", 400)
    return _merge_map(doc, patch, {"$ref": REF + schema_type})


def _merge_map(original: Obj, patch: Obj, schema: Schema) -> Obj:
    directive = patch.get(_PATCH)
    if directive == "replace":
        return _plain_map(patch)
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f'unknown patch type found in "$patch": {directive}; use delete, replace or merge', 400)
    merged = _retained(original, patch)
    _delete_from_lists(merged, patch)
    for key, value in patch.items():
        if not _is_directive(key):
            _merge_field(merged, key, value, patch.get(_ORDER + key), _field(schema, key))
    _reorder_untouched(merged, patch, schema)
    return merged


def _field(schema: Schema, key: str) -> Schema:
    _, facts = resolve(schema)
    below: Schema = (facts.get("properties") or {}).get(key) or facts.get("additionalProperties") or {}
    return below


def _retained(original: Obj, patch: Obj) -> Obj:
    keys = patch.get(_RETAIN)
    if keys is None:
        return dict(original)
    if not isinstance(keys, list):
        raise PatchError("invalid patch format of retainKeys", 400)
    extra = [key for key, value in patch.items() if not _is_directive(key) and value is not None and key not in keys]
    if extra:
        raise PatchError("invalid patch format of retainKeys", 400)
    return {key: value for key, value in original.items() if key in keys}


def _delete_from_lists(merged: Obj, patch: Obj) -> None:
    for key, gone in patch.items():
        name = key.removeprefix(_DELETE)
        if name == key:
            continue
        if not isinstance(gone, list):
            raise PatchError(f"{key} must be a list of values", 400)
        if isinstance(merged.get(name), list):
            merged[name] = [value for value in merged[name] if value not in gone]


def _merge_field(merged: Obj, key: str, value: Any, order: Any, schema: Schema) -> None:
    old = merged.get(key)
    strategies = schema.get(_STRATEGY, "").split(",")
    if value is None or (old is None and isinstance(value, dict) and value.get(_PATCH) == "delete"):
        merged.pop(key, None)
    elif isinstance(value, dict) and isinstance(old, dict) and "replace" not in strategies:
        merged[key] = _merge_map(old, value, schema)
    elif isinstance(value, list) and isinstance(old, list) and ("merge" in strategies or _is_list_directive(value)):
        merged[key] = _merge_list(old, value, order, schema)
    else:
        merged[key] = _plain(value)


def _plain(value: Any) -> Any:
    """A patch's value where there is nothing to merge it with: without directives, deletions and nulls."""
    if isinstance(value, dict):
        return _plain_map(value)
    if isinstance(value, list):
        return [_plain(item) for item in value if not _is_deletion(item)]
    return value


def _plain_map(value: Obj) -> Obj:
    return {k: _plain(v) for k, v in value.items() if v is not None and not _is_directive(k)}


def _is_directive(key: str) -> bool:
    return key in (_PATCH, _RETAIN) or key.startswith((_DELETE, _ORDER))


def _is_deletion(item: Any) -> bool:
    return isinstance(item, dict) and (item.get(_PATCH) == "delete" or item == {_PATCH: "replace"})


def _is_list_directive(value: list[Any]) -> bool:
    return any(isinstance(item, dict) and item.get(_PATCH) == "replace" for item in value)


def _merge_list(original: list[Any], patch: list[Any], order: Any, schema: Schema) -> list[Any]:
    merge_key = schema.get(_MERGE_KEY)
    if merge_key is None and not _is_list_directive(patch):
        merged = list(dict.fromkeys(_hashable([*original, *patch])))
        return _arrange(merged, patch if order is None else order, original, None)
    kept, changes = _apply_directives(original, patch, merge_key)
    if merge_key is None:
        return changes
    merged = _merge_elements(kept, changes, merge_key, schema.get("items", {}))
    return _arrange(merged, changes if order is None else order, original, merge_key)


def _hashable(values: list[Any]) -> list[Hashable]:
    for value in values:
        if not isinstance(value, Hashable):
            raise PatchError("elements of a list that merges as a set must be plain values", 400)
    return values


def _apply_directives(original: list[Any], patch: list[Any], merge_key: str | None) -> tuple[list[Any], list[Any]]:
    """(original without what the patch deletes or replaces, elements to merge in)."""
    directives = [item.get(_PATCH) if isinstance(item, dict) else None for item in patch]
    changes = [item for item, directive in zip(patch, directives, strict=True) if directive in (None, "merge")]
    changes = [_without_directive(item) for item in changes]
    if "replace" in directives:
        return [], changes
    gone = []
    for item, directive in zip(patch, directives, strict=True):
        if directive == "delete" and merge_key is not None:
            gone.append(_key(item, merge_key))
        elif directive not in (None, "merge"):
            raise PatchError(f'unknown patch type found in "$patch": {directive}; use delete, replace or merge', 400)
    return [item for item in original if merge_key is None or _key(item, merge_key) not in gone], changes


def _without_directive(item: Any) -> Any:
    return {k: v for k, v in item.items() if k != _PATCH} if isinstance(item, dict) else item


def _key(item: Any, merge_key: str) -> Any:
    if not isinstance(item, dict) or merge_key not in item:
        raise PatchError(f"map: {go_map(item)} does not contain declared merge key: {merge_key}", 500)
    return item[merge_key]


def _merge_elements(original: list[Any], changes: list[Any], merge_key: str, items: Schema) -> list[Any]:
    merged = list(original)
    for change in changes:
        key = _key(change, merge_key)
        at = next((i for i, item in enumerate(merged) if _key(item, merge_key) == key), None)
        if at is None:
            merged.append(_plain(change))
        else:
            merged[at] = _merge_map(merged[at], change, items)
    return merged


def _reorder_untouched(merged: Obj, patch: Obj, schema: Schema) -> None:
    """Obey `$setElementOrder` for lists that the patch orders but does not change."""
    for key, order in patch.items():
        name = key.removeprefix(_ORDER)
        if name != key and name not in patch and isinstance(merged.get(name), list):
            merged[name] = _arrange(merged[name], order, merged[name], _field(schema, name).get(_MERGE_KEY))


def _arrange(merged: list[Any], order: Any, original: list[Any], merge_key: str | None) -> list[Any]:
    """Interleave the ordered elements with the others, which keep their place relative to the original list."""
    if not isinstance(order, list):
        raise PatchError("$setElementOrder must be a list", 400)
    ranks = _ranks(order, merge_key)
    places = _ranks(original, merge_key)
    keys = [_identity(item, merge_key) for item in merged]
    chosen = sorted((i for i, key in enumerate(keys) if key in ranks), key=lambda i: ranks[keys[i]])
    others = [i for i, key in enumerate(keys) if key not in ranks]
    arranged: list[int] = []
    while chosen and others:
        here, there = places.get(keys[others[0]]), places.get(keys[chosen[0]])
        first = others if here is not None and there is not None and here < there else chosen
        arranged.append(first.pop(0))
    return [merged[i] for i in (*arranged, *chosen, *others)]


def _ranks(items: Iterable[Any], merge_key: str | None) -> dict[Hashable, int]:
    ranks: dict[Hashable, int] = {}
    for index, item in enumerate(items):
        ranks.setdefault(_identity(item, merge_key), index)
    return ranks


def _identity(item: Any, merge_key: str | None) -> Hashable:
    identity = item if merge_key is None else _key(item, merge_key)
    return identity if isinstance(identity, Hashable) else repr(identity)
