"""How long reading the patterns of a schema may take: those of a few kilobytes could hold the server for minutes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netsim.api.causes import forbidden
from netsim.api.errors import Cause
from netsim.cel.regex import MOST_READING, reading_steps


def patterns_too_large(schema: Any, path: str) -> Cause | None:
    """The pattern with which reading all of them takes too long; none behind it is read."""
    left, read = MOST_READING, set()
    for where, pattern in _patterns(schema, path):
        if pattern in read:
            continue
        read.add(pattern)
        left -= reading_steps(pattern)
        if left < 0:
            return forbidden(where, "the patterns of this schema are too large together")
    return None


def _patterns(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    """Whatever text is called `pattern`, with its place."""
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield f"{path}.pattern", schema["pattern"]
        for name, below in schema.items():
            yield from _patterns(below, f"{path}.{name}")
    elif isinstance(schema, list):
        for index, below in enumerate(schema):
            yield from _patterns(below, f"{path}[{index}]")
