"""Rules of custom objects with a scale subresource: what its paths lead to must be what a Scale can say (pure).

Facts: counts are int64, not negative and within int32; the selector is a text; what is absent is none of these rules'.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netsim.api.causes import invalid
from netsim.api.errors import Cause
from netsim.api.go_text import printed, type_of
from netsim.api.kind import Obj

_MOST = 2**31 - 1
_ABSENT = object()


def scale_errors(scale: Obj | None, obj: Obj, *, spec: bool) -> Iterator[Cause]:
    """What is wrong at the paths of `scale` (specReplicasPath, statusReplicasPath, labelSelectorPath); at the first
    only where `spec` says so: a write of the status has nothing to do with it."""
    if scale is None:
        return
    if spec:
        yield from _count(scale["specReplicasPath"], obj)
    yield from _count(scale["statusReplicasPath"], obj)
    path = scale.get("labelSelectorPath")
    if path:
        _, wrong = _at(path, obj, "string")
        if wrong:
            yield invalid(path, "", wrong)


def _count(path: str, obj: Obj) -> Iterator[Cause]:
    found, wrong = _at(path, obj, "int64")
    if wrong:
        yield invalid(path, 0, wrong)
    elif found is not _ABSENT and found < 0:
        yield invalid(path, found, "should be a non-negative integer")
    elif found is not _ABSENT and found > _MOST:
        yield invalid(path, found, f"should be less than or equal to {_MOST}")


def _at(path: str, obj: Obj, wanted: str) -> tuple[Any, str]:
    """(value, "") or (_ABSENT, why it is not of the wanted type); absent without a reason where there is nothing."""
    names, value = path.removeprefix(".").split("."), obj
    for index, name in enumerate(names):
        if value is None:
            return _ABSENT, ""
        if not isinstance(value, dict):
            return _ABSENT, _unfit(names[: index + 1], value, "map[string]interface{}")
        if name not in value:
            return _ABSENT, ""
        value = value[name]
    return (value, "") if type_of(value) == wanted else (_ABSENT, _unfit(names, value, wanted))


def _unfit(names: list[str], value: Any, wanted: str) -> str:
    return f".{'.'.join(names)} accessor error: {printed(value)} is of the type {type_of(value)}, expected {wanted}"
