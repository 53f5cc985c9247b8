"""Values as kube-apiserver holds them while it judges them, which some of its messages quote (pure).

They have the names, the order and the zeros of its internal Go types. `go_internal.json` tells these:
`{TYPE: [[NAME IN GO, NAME IN JSON, FORM]]}`. A form is what stands there where nothing is given (`null`, `""`, `0`,
`false`), or of another type `.T` one, `*T` one or null, `[T` a list or null; `selector` is a LabelSelector, and `omit`
leaves out what is not given. Of a field without a name in JSON the fields stand among those of its owner.
"""

from __future__ import annotations

import difflib
import json
from functools import cache
from pathlib import Path
from typing import Any

from netsim.api.kind import Obj

_MOST_LINES = 2000
"""Of two specs together of which the shortest diff is searched."""
_CONTEXT = 3
_POD_SPEC, _SECURITY = "PodSpec", "securityContext"
_OF_SECURITY = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ZEROS: dict[str, Any] = {"null": None, '""': "", '"0"': "0", "0": 0, "false": False}
_SELECTOR = ("matchLabels", "matchExpressions")

Rows = list[tuple[str, str, str]]


@cache
def _facts() -> dict[str, Rows]:
    found: dict[str, Rows] = json.loads(Path(__file__).with_name("go_internal.json").read_bytes())
    return found


def in_go(name: str, value: Obj) -> Obj:
    """An object of the API's type (`PodSpec`, `resource.ResourceClaimSpec`) as Go writes the internal one."""
    if name == _POD_SPEC:
        value = _with_security(value)
    found: Obj = {}
    for field, key, form in _facts()[name]:
        if not key:
            found |= in_go(form[1:], (value.get("metadata") or {}) if field == "ObjectMeta" else value)
        elif form != "omit":
            found[field] = _one(form, value.get(key))
        elif value.get(key):
            found[field] = _ordered(value[key])
    return found


def _with_security(spec: Obj) -> Obj:
    """A pod's spec with what belongs to its security context there."""
    moved = {key: spec[key] for key in _OF_SECURITY if key in spec}
    return {**spec, _SECURITY: {**(spec.get(_SECURITY) or {}), **moved}} if moved else spec


def _one(form: str, value: Any) -> Any:
    if form[0] == ".":
        return in_go(form[1:], value or {})
    if form[0] == "*":
        return None if value is None else in_go(form[1:], value)
    if form[0] == "[":
        return [in_go(form[1:], each) for each in value] if value else None
    if form == "selector":
        return value if value is None else {key: _ordered(value[key]) for key in _SELECTOR if value.get(key)}
    return _ZEROS[form] if value is None else _ordered(value)


def _ordered(value: Any) -> Any:
    """A value as Go writes maps: by their keys."""
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return value


def difference(name: str, old: Obj, new: Obj) -> str:
    """What is another in `new`, as a unified diff of the lines that Go writes."""
    before, now = (_written(in_go(name, value)).splitlines(keepends=True) for value in (old, new))
    if len(before) + len(now) > _MOST_LINES:
        return "".join(_one_hunk(before, now))
    return "".join(list(difflib.unified_diff(before, now))[2:])


def _one_hunk(before: list[str], now: list[str]) -> list[str]:
    """The diff that shows all from the first line that is another to the last, which takes but the time to read them:
    the search for the shortest one takes minutes on a spec of 1 MB, and nobody is answered meanwhile."""
    head = _common(before, now)
    most = min(len(before), len(now)) - head
    tail = _common(before[: -most - 1 : -1], now[: -most - 1 : -1])
    start, after = max(head - _CONTEXT, 0), min(tail, _CONTEXT)
    sizes = [len(lines) - tail + after - start for lines in (before, now)]
    gone, come = (lines[head : len(lines) - tail] for lines in (before, now))
    around = now[start:head], now[len(now) - tail : len(now) - tail + after]
    marked = ((" ", around[0]), ("-", gone), ("+", come), (" ", around[1]))
    where = f"@@ -{start + 1},{sizes[0]} +{start + 1},{sizes[1]} @@\n"
    return [where, *(mark + line for mark, lines in marked for line in lines)]


def _common(some: list[str], others: list[str]) -> int:
    """How many lines from the first on are the same."""
    pairs = enumerate(zip(some, others, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(some), len(others)))


def _written(value: Obj) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=1)
    for char, escape in _ESCAPED.items():
        text = text.replace(char, escape)
    return text + "\n"
