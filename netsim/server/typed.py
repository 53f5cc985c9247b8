"""Bodies, and what patches make, to objects as a typed decoder keeps them (pure)."""

from __future__ import annotations

from netsim.api import schema
from netsim.api.decoder import decode
from netsim.api.json_text import as_written
from netsim.api.kinds import Kind, Obj
from netsim.api.schema_fit import kept
from netsim.server.bodies import DecodingError, Source, check_fields, complete_type
from netsim.server.custom import custom_object

NOTHING: Obj = {}
_ABSENT = object()


def typed_object(
    kind: Kind, obj: Obj, source: Source, validation: str, warnings: list[str], known: Obj = NOTHING
) -> Obj:
    """An object as a typed decoder keeps it: unknown fields dropped, and refused or warned of together with those that
    its `source` gives twice; wrong types are a 400, before anything else. What of `obj` is also, as the same object,
    part of `known` has been through this before."""
    if kind.custom is not None:
        return custom_object(kind, kind.custom, obj, source.all_problems(), validation, warnings)
    obj = complete_type(kind, obj)
    part = _unknown_part(obj, known)
    quick = None if source.repeats else kept(kind, part)
    if quick is not None:
        warnings += check_fields(kind, [*source.problems], validation)
        obj = obj if quick is part else _with_part(obj, part, quick)
    else:
        found = decode(kind, obj)
        if source.text and (source.repeats or found.error or found.strict):
            found = decode(kind, as_written(source.text))
        if found.error:
            raise DecodingError(kind, found.error)
        warnings += check_fields(kind, [*source.problems, *found.strict], validation)
        obj = schema.prune(kind, obj)
    return obj if isinstance(obj.get("metadata"), dict) else {**obj, "metadata": {}}


def _unknown_part(obj: Obj, known: Obj) -> Obj:
    """An object without what it has in common with `known`: most of what is patched stays as it was."""
    if not known:
        return obj
    part = {key: value for key, value in obj.items() if known.get(key, _ABSENT) is not value}
    held = known.get("metadata")
    if held and "metadata" in part:
        part["metadata"] = {
            key: value for key, value in part["metadata"].items() if held.get(key, _ABSENT) is not value
        }
    return part


def _with_part(obj: Obj, part: Obj, kept_part: Obj) -> Obj:
    """An object with that part of it as it is kept."""
    whole = _replaced(obj, part, kept_part)
    if "metadata" in part:
        whole["metadata"] = _replaced(obj["metadata"], part["metadata"], kept_part["metadata"])
    return whole


def _replaced(obj: Obj, part: Obj, kept_part: Obj) -> Obj:
    return {key: value for key, value in {**obj, **kept_part}.items() if key not in part or key in kept_part}


def typed_result(kind: Kind, obj: Obj) -> Obj:
    """What the server has made as a typed decoder keeps it, without a word about what was dropped."""
    return typed_object(kind, obj, Source(), "Ignore", [])
