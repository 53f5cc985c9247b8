"""What one served resource is: its names, verbs and subresources."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

Obj = dict[str, Any]

COLLECTION = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_WRITE = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object. `group`, `version`, `kind` name what it takes or answers; an empty group and
    version mean those of the parent kind."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Custom:
    """What a CustomResourceDefinition says of its kind, beyond names.

    `schema` is the version's openAPIV3Schema, `published` the same in the form of `schema.definitions()` (with kind,
    apiVersion and metadata); `storage` the apiVersion objects are stored in; `columns` the additionalPrinterColumns;
    `fields` the selectable fields as dotted paths; `scale` the paths of the scale subresource; `warning` is told to who
    uses a deprecated version. Two are equal only if they are the same, so that nothing derived from an older definition
    is taken for this one's.
    """

    schema: Obj
    published: Obj
    storage: str
    columns: tuple[Obj, ...] = ()
    fields: tuple[str, ...] = ()
    scale: Obj | None = None
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One served resource. `verbs` ("create",) alone marks a review, answered at once and never stored.

    `view_of` is the apiVersion its objects are stored in, where that is another one ("" if it is its own). `custom`
    is there for kinds that a CustomResourceDefinition defines; `list_name` where a list's kind is not the kind with
    "List" behind it.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    generation: bool = False
    subresources: tuple[Subresource, ...] = ()
    verbs: tuple[str, ...] = COLLECTION
    view_of: str = ""
    custom: Custom | None = None
    list_name: str = ""
    resource: str = field(init=False, repr=False, compare=False)
    """ "pods" or "deployments.apps", as messages name it: what caches are looked up by at every change."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "resource", f"{self.plural}.{self.group}" if self.group else self.plural)

    def __hash__(self) -> int:
        """Of one field: kinds are keys of many tables, and their texts remember their hashes."""
        return hash(self.resource)

    def __eq__(self, other: object) -> bool:
        """By value. Nearly all that are compared are the same or differ in that field."""
        if self is other:
            return True
        if not isinstance(other, Kind) or self.resource != other.resource:
            return False
        return all(getattr(self, each.name) == getattr(other, each.name) for each in fields(Kind) if each.compare)

    @property
    def api_version(self) -> str:
        """ "v1" for the core group, else "group/version"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        """Kind of a list of these, such as "PodList"."""
        return self.list_name or f"{self.kind}List"

    @property
    def stored(self) -> bool:
        """Whether objects are kept: not those of reviews (create only) nor computed ones (read only)."""
        return "get" in self.verbs and "create" in self.verbs

    @property
    def base(self) -> str:
        """ "/api/v1" or "/apis/GROUP/VERSION"."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str = "", sub: str = "") -> str:
        """REST path of the collection (no name), an object, or its subresource. Without a namespace the
        collection over all namespaces is meant."""
        parts = [self.base]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, sub) if part]
        return "/".join(parts)

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name, if this kind has it."""
        return next((sub for sub in self.subresources if sub.name == name), None)
