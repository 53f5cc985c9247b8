"""Sets of completion indexes and their text form in a Job's status: "0,2-4"."""

from __future__ import annotations

from collections.abc import Collection


def parse_indexes(text: str, completions: int) -> set[int]:
    """The indexes below `completions` in a text such as "0,2-4"; what is no number or range is passed over."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first.isdecimal() and (last.isdecimal() or not dash):
            found.update(range(int(first), min(int(last or first) + 1, completions)))
    return {index for index in found if index < completions}


def format_indexes(indexes: Collection[int]) -> str:
    """Ascending; three and more in a row become a range, as in Kubernetes: "0,1", "2-4"."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(_run(first, last) for first, last in runs)


def _run(first: int, last: int) -> str:
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"
