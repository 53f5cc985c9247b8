"""What column printers are made of: Column, Printer and helpers for cells (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from netsim.api.kinds import Obj
from netsim.api.selectors import label_selector_of
from netsim.api.times import parse_time, short_duration
from netsim.server.columns.descriptions import DESCRIPTIONS

NONE = "<none>"
UNKNOWN = "<unknown>"
UNSET = "<unset>"

Cells = Callable[[Obj, datetime], list[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column definition; `priority` 1 is shown by -o wide only."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> Obj:
        """The TableColumnDefinition."""
        return {
            "name": self.name, "type": self.type, "format": self.format,
            "description": self.description or DESCRIPTIONS.get(self.name, ""), "priority": self.priority,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Printer:
    """The columns of a kind and the function from an object and the present time to its cells."""

    columns: tuple[Column, ...]
    cells: Cells


NAME = Column("Name", format="name", description="Name of the object, unique within its namespace.")
AGE = Column("Age", description="Time since the object was created.")


def text(name: str, description: str = "") -> Column:
    return Column(name, description=description)


def wide(name: str, description: str = "") -> Column:
    return Column(name, priority=1, description=description)


def number(name: str) -> Column:
    return Column(name, "integer")


def boolean(name: str) -> Column:
    return Column(name, "boolean")


def since(when: str | None, now: datetime) -> str:
    """A short age; "<unknown>" without a time."""
    return short_duration((now - parse_time(when)).total_seconds()) if when else UNKNOWN


def age(obj: Obj, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def name(obj: Obj) -> str:
    return str(obj["metadata"].get("name", ""))


def pairs(labels: Obj | None) -> str:
    """ "a=b,c=d" sorted, "<none>" when empty."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def selector(found: Obj | None) -> str:
    """A label selector object as text, "<none>" when it selects everything."""
    return str(label_selector_of(found)) or NONE if found else NONE


def containers(template: Obj | None) -> tuple[str, str]:
    """Names and images of a pod spec's containers, comma-joined."""
    found = ((template or {}).get("spec") or {}).get("containers") or []
    return ",".join(c.get("name", "") for c in found), ",".join(c.get("image", "") for c in found)


def text_of_bool(value: bool | None) -> str:
    """ "True", "False" or "<unset>"."""
    return UNSET if value is None else str(value)


def first(items: Iterable[str], limit: int, empty: str = NONE) -> str:
    """The first `limit` items, comma-joined, and how many more there are."""
    listed = list(items)
    if not listed:
        return empty
    shown = ",".join(listed[:limit])
    return f"{shown} + {len(listed) - limit} more..." if len(listed) > limit else shown
