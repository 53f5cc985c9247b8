"""What a watch's bytes mean (pure): lines in, events out, and the revision to resume from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import orjson

from netsim.api.errors import StatusError
from netsim.api.kinds import Obj
from netsim.api.objects import resource_version

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
_CHANGES = ("ADDED", "MODIFIED", "DELETED")
GONE = 410
_REMEMBERED = 16
_HEAD = re.compile(
    rb'\{"type":"[A-Z]+","object":\{"kind":"\w+","apiVersion":"[\w./-]+",'
    rb'"metadata":\{"resourceVersion":"\d+",(?="managedFields":\[)'
)
_NAME = b'],"name":'


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one object; a DELETED carries its last state."""

    type: ChangeType
    object: Obj


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing changed up to `revision`; `initial_end` marks the end of a WatchList's initial events."""

    revision: str
    initial_end: bool = False


@dataclass(frozen=True, slots=True)
class Relist:
    """The watch cannot be resumed: the history is gone (410)."""

    message: str


class BadWatchLine(ValueError):
    """A line that is no watch event."""


class LineSplitter:
    """Cuts a byte stream into lines."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends, empty ones left out."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line for line in lines if line.strip()]


def is_newer(revision: str, than: str) -> bool:
    """Whether one resourceVersion is later than another (KEP-5504: decimal and comparable); any is newer than ""."""
    if revision.isdigit() and than.isdigit():
        return int(revision) > int(than)
    return revision != than


class WatchState:
    """The revision reached by a list and its watches. `feed` drops repeats and never moves back."""

    __slots__ = ("revision",)

    def __init__(self, revision: str) -> None:
        self.revision = revision

    def feed(self, line: bytes) -> Event | Bookmark | Relist | None:
        """What one line says; None for a repeat. Raises StatusError for an ERROR other than 410, BadWatchLine else."""
        kind, obj = _parse(line)
        if kind == "ERROR":
            return _refusal(obj)
        revision = resource_version(obj)
        if not revision or not is_newer(revision, self.revision):
            if kind == "BOOKMARK" and revision:
                return Bookmark(self.revision, _ends_initial(obj))
            return None
        self.revision = revision
        if kind == "BOOKMARK":
            return Bookmark(revision, _ends_initial(obj))
        return Event(cast(ChangeType, kind), obj)


@lru_cache(_REMEMBERED)
def _parse(line: bytes) -> tuple[str, Obj]:
    """(type, object). Several watchers of one process hear one line: they share the object, which nobody changes."""
    try:
        document = orjson.loads(_light(line))
        kind, obj = document["type"], document["object"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise BadWatchLine(f"not a watch event: {line[:200]!r}") from error
    if kind not in (*_CHANGES, "BOOKMARK", "ERROR") or not isinstance(obj, dict):
        raise BadWatchLine(f"not a watch event: {line[:200]!r}")
    return kind, obj


def _light(line: bytes) -> bytes:
    """The line without the managedFields, which nobody here reads and which take a third of the time to decode, where
    they stand as our server writes them. Behind them comes the name: no entry of theirs can hold `],"name":`, as no
    list is in one and every quote in a text is escaped."""
    head = _HEAD.match(line)
    end = line.find(_NAME, head.end()) if head is not None else -1
    return line if head is None or end < 0 else line[: head.end()] + line[end + 2 :]


def _refusal(obj: Obj) -> Relist:
    error = StatusError.from_status(obj)
    if error.code == GONE or error.reason in ("Expired", "Gone"):
        return Relist(error.message)
    raise error


def _ends_initial(obj: Obj) -> bool:
    annotations = obj.get("metadata", {}).get("annotations") or {}
    return annotations.get("k8s.io/initial-events-end") == "true"
