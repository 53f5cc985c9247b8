"""What a reconcile answers: the writes it wants, as values. `apply.apply_writes` is the one door that executes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from netsim.api.kinds import Kind, Obj
from netsim.api.objects import name_of, namespace_of, resource_version, uid_of

PatchType = Literal["merge", "json", "strategic", "apply"]


@dataclass(frozen=True, slots=True)
class Note:
    """An Event about an object (which carries apiVersion and kind)."""

    about: Obj
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True)
class Announce:
    """The Events for a write's outcome: reason and text for success ("{name}" is the object's name) and for failure
    ("{error}" is the server's message, "{name}" again the name). None: nothing is told."""

    about: Obj
    done: tuple[str, str] | None
    failed: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Create:
    """POST of an object; with metadata.generateName the server names it. Creates of one reconcile are started
    in growing batches, so that a refusing server is asked once and not a hundred times."""

    kind: Kind
    obj: Obj
    announce: Announce | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """PUT of a whole object; its resourceVersion makes the server refuse it when the object has moved on.
    `sub` is a subresource such as "status" or "finalize"; these are sent after all other writes."""

    kind: Kind
    obj: Obj
    sub: str = ""
    announce: Announce | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH of a named object."""

    kind: Kind
    name: str
    namespace: str
    patch: Any
    type: PatchType = "merge"
    sub: str = ""
    announce: Announce | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE with an optional uid precondition, so that a namesake born later is spared. `first` is sent before, and
    where it is refused nothing is deleted."""

    kind: Kind
    name: str
    namespace: str
    uid: str = ""
    grace: int | None = None
    propagation: str | None = None
    announce: Announce | None = None
    first: Patch | None = None


@dataclass(frozen=True, slots=True)
class Requeue:
    """Look at this key again after so many seconds, whatever happens until then."""

    after: float


Write = Create | Update | Patch | Delete | Note | Requeue
Writes = Sequence[Write]


def delete_of(
    kind: Kind,
    obj: Obj,
    *,
    grace: int | None = None,
    propagation: str | None = None,
    announce: Announce | None = None,
    first: Patch | None = None,
) -> Delete:
    """The deletion of exactly this object (its uid is the precondition)."""
    return Delete(kind, name_of(obj), namespace_of(obj), uid_of(obj), grace, propagation, announce, first)


def patch_of(
    kind: Kind, obj: Obj, patch: Obj, *, sub: str = "", locked: bool = False, announce: Announce | None = None
) -> Patch:
    """A merge patch of this object; `locked` makes the server refuse it when the object has changed since."""
    if locked:
        patch = {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": resource_version(obj)}}
    return Patch(kind, name_of(obj), namespace_of(obj), patch, sub=sub, announce=announce)


def status_of_object(kind: Kind, obj: Obj, status: Obj) -> Update:
    """The replacement of an object's whole status, refused by the server if the object has changed since."""
    head = {"apiVersion": kind.api_version, "kind": kind.kind}
    return Update(kind, {**head, **obj, "status": status}, sub="status")


def typed(kind: Kind, obj: Obj) -> Obj:
    """`obj` with apiVersion and kind, which items of a list may lack."""
    return obj if "kind" in obj and "apiVersion" in obj else {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
