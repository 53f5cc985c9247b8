"""What Kubernetes says of a strategic merge patch whose values fit no field, in its converter's words (pure)."""

from __future__ import annotations

import re
from typing import Any

_CANNOT = re.compile(
    r"json: cannot unmarshal (?P<found>\w+)(?: (?P<number>\S+))? into Go struct field \S+ of type (?P<type>.+)"
)
_FOUND = {"array": "slice", "object": "map"}
_INTEGERS = ("int32", "int64")


def converted(problem: str) -> str:
    """A decoder's complaint about a value of the wrong type as the converter has it; others as they are.

    >>> converted("json: cannot unmarshal number into Go struct field ConfigMap.data of type string")
    'cannot convert int64 to string'
    """
    match = _CANNOT.fullmatch(problem)
    if match is None:
        return problem
    wanted, found = match["type"], _FOUND.get(match["found"], match["found"])
    if found == "number":
        found = "float64" if "." in (match["number"] or "") else "int64"
    if wanted.startswith("map["):
        return f"cannot restore map from {found}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {found}"
    if "." in wanted:
        return f"cannot restore struct from: {found}"
    if (found, wanted) == ("int64", "string") or (found == "float64" and wanted in _INTEGERS):
        return f"cannot convert {found} to {wanted}"
    return f"unrecognized type: {wanted}"


def go_map(value: Any) -> str:
    """A JSON value as Go prints it: map[a:1 b:[x y]]."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_map(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_map, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "<nil>", True: "true", False: "false"}[value]
    return str(value)
