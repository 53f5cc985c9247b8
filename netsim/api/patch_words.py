"""What Kubernetes says of a strategic merge patch whose values fit no field, in its converter's words (pure)."""

from __future__ import annotations

from typing import Any

from netsim.api.decoder import Misfit

_FOUND = {"array": "slice", "object": "map"}


def converted(problem: Misfit | str) -> str:
    """A decoder's complaint about a value of the wrong type as the converter has it; others as they are.

    >>> converted(Misfit("number", "ConfigMap.data", "string", "string"))
    'cannot convert int64 to string'
    """
    if not isinstance(problem, Misfit):
        return problem
    name, _, number = problem.found.partition(" ")
    wanted, found = problem.json_type, _FOUND.get(name, name)
    if found == "number":
        found = "float64" if "." in number else "int64"
    if problem.wanted.startswith("map[") or problem.wanted == "v1.ResourceList":
        return f"cannot restore map from {found}"
    if wanted == "array":
        return f"cannot restore slice from {found}"
    if wanted == "object":
        return f"cannot restore struct from: {found}"
    if (found, wanted) == ("int64", "string") or (found == "float64" and wanted == "integer"):
        return f"cannot convert {found} to {problem.wanted}"
    return f"unrecognized type: {wanted if wanted == 'string' else problem.wanted}"


def go_map(value: Any) -> str:
    """A JSON value as Go prints it: map[a:1 b:[x y]]."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_map(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_map, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "<nil>", True: "true", False: "false"}[value]
    return str(value)
