"""The JSONPath that definitions use for columns, scale and selectable fields: `.a.b`, `['a.b']`, `[0]`, `[*]` and
`[?(@.a=="b")]` (the part of kubectl's JSONPath that reads one place)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]'"]+)|\[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]|\[(?P<index>-?\d+)\]|(?P<all>\[\*\]|\.\*)"""
    r"""|\[\?\(\s*@(?P<where>[^=!<>]*?)\s*(?P<op>==|!=)\s*(?P<value>'[^']*'|"[^"]*"|[^'")]+?)\s*\)\]"""
)


class PathError(ValueError):
    """The text is no JSONPath of this subset."""


Step = tuple[str, Any]


@lru_cache(maxsize=1024)
def parse_path(text: str) -> tuple[Step, ...]:
    """The steps of a path; raises PathError."""
    inner = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    at, steps = 0, []
    while at < len(inner):
        found = _STEP.match(inner, at)
        if found is None:
            raise PathError(f"{text!r} cannot be read from {inner[at:]!r} on")
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found["name"] is not None:
        return "name", found["name"]
    if found["quoted"] is not None:
        return "name", found["quoted"]
    if found["index"] is not None:
        return "index", int(found["index"])
    if found["all"] is not None:
        return "all", None
    return "where", (parse_path(found["where"] or ""), found["op"] == "==", _literal(found["value"]))


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    words = {"true": True, "false": False, "null": None}
    return words[text] if text in words else float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else text


def find(text: str, obj: Any) -> Any:
    """The first value at the path, None if there is none."""
    return next(_walk(parse_path(text), obj), None)


def _walk(steps: tuple[Step, ...], value: Any) -> Iterator[Any]:
    if not steps:
        yield value
        return
    for found in _take(*steps[0], value):
        yield from _walk(steps[1:], found)


def _take(step: str, argument: Any, value: Any) -> Iterable[Any]:
    if step == "name":
        return [value[argument]] if isinstance(value, dict) and argument in value else []
    if step == "all" and isinstance(value, dict):
        return list(value.values())
    if not isinstance(value, list):
        return []
    if step == "index":
        return value[argument : argument + 1 or None]
    if step == "all":
        return value
    path, equal, wanted = argument
    return [item for item in value if (next(_walk(path, item), None) == wanted) == equal]


def put(text: str, obj: Any, value: Any) -> Any:
    """A copy of the object with the value at a path of names; what is missing on the way is made."""
    return _put([argument for _, argument in parse_path(text)], obj, value)


def _put(names: list[Any], obj: Any, value: Any) -> Any:
    if not names:
        return value
    below = obj.get(names[0]) if isinstance(obj, dict) else None
    return {**(obj if isinstance(obj, dict) else {}), names[0]: _put(names[1:], below, value)}


def dotted(text: str) -> bool:
    """Whether the path is names alone (".spec.replicas"), as scale and selectable fields need."""
    try:
        return bool(text) and text[0] == "." and all(step == "name" for step, _ in parse_path(text))
    except PathError:
        return False
