"""What can be asked of each kind, as OpenAPI documents list it: by rule from the table of kinds (pure).

Operations are named as Kubernetes names them, since generators make their methods' names from that
(`readCoreV1NamespacedPodLog`); k8s.io/apiserver's endpoints/installer.go has the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netsim.api import kinds
from netsim.api.kinds import Kind, Subresource
from netsim.api.schema import type_of

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS, PATCH, OPTIONS, RESOURCES = (_META + name for name in ("Status", "Patch", "DeleteOptions", "APIResourceList"))
_READ = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_REMOVE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_QUERY = {
    "get": (),
    "list": _READ,
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, "force"),
    "delete": _REMOVE,
    "deletecollection": (*sorted({*_READ, *_REMOVE} - {"allowWatchBookmarks", "watch"}),),
}
_STREAM = ("container", "stderr", "stdin", "stdout", "tty")
_ASKED = {
    "PodAttachOptions": _STREAM,
    "PodExecOptions": ("command", *_STREAM),
    "PodPortForwardOptions": ("ports",),
    "NodeProxyOptions": ("path",),
    "PodProxyOptions": ("path",),
    "ServiceProxyOptions": ("path",),
}
"""What is asked by query of those whose kind tells how to connect."""
_LOG = (
    "container", "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "previous", "sinceSeconds", "stream",
    "tailLines", "timestamps",
)  # fmt: skip
_METHODS = {"get": "get", "update": "put", "create": "post", "delete": "delete", "patch": "patch"}
_ANY = ("get", "put", "post", "delete", "options", "head", "patch")
_WORDS = {"get": "read", "update": "replace"}
_CODES = {"create": ("200", "201", "202"), "update": ("200", "201"), "patch": ("200", "201"), "delete": ("200", "202")}

SHOWN_DELETED = frozenset(
    (
        kinds.NAMESPACES, kinds.PERSISTENT_VOLUMES, kinds.PERSISTENT_VOLUME_CLAIMS, kinds.PODS, kinds.POD_TEMPLATES,
        kinds.RESOURCE_QUOTAS, kinds.SERVICES, kinds.SERVICE_ACCOUNTS, kinds.CSI_DRIVERS, kinds.CSI_NODES,
        kinds.STORAGE_CLASSES, kinds.VOLUME_ATTACHMENTS, kinds.VOLUME_ATTRIBUTES_CLASSES,
        kinds.DEVICE_CLASSES, kinds.RESOURCE_CLAIMS, kinds.RESOURCE_CLAIM_TEMPLATES, kinds.RESOURCE_SLICES,
    )
)  # fmt: skip
"""The kinds of which Kubernetes shows what was deleted."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `verb` is that of the table, or "connect"; `query` the names of its parameters; `takes`
    and `answers` the names of types ("" for a body that has none, and for text); `gvk` group, version and kind."""

    path: str
    method: str
    verb: str
    name: str
    gvk: tuple[str, str, str]
    query: tuple[str, ...]
    takes: str
    answers: str

    @property
    def action(self) -> str:
        """As extensions name it: by the method for what writes a whole object."""
        return {"create": "post", "update": "put"}.get(self.verb, self.verb)

    @property
    def codes(self) -> tuple[str, ...]:
        """The HTTP statuses of an answer that is no error."""
        return _CODES.get(self.verb, ("200",))


def type_name(kind: Kind) -> str:
    """The name of a kind's type in the documents: com.example.stable.v1.CronTab for custom ones; "" where there are no
    facts of it."""
    if kind.custom is None:
        return type_of(kind.group, kind.version, kind.kind) or ""
    return ".".join((*reversed(kind.group.split(".")), kind.version, kind.kind))


def list_name(kind: Kind) -> str:
    """The name of the type of a list of a kind's objects."""
    return f"{type_name(kind).rpartition('.')[0]}.{kind.list_kind}"


def group_words(group: str, version: str) -> str:
    """A group and version as names of operations have them: CoreV1, RbacAuthorizationV1."""
    words = (group.removesuffix(".k8s.io") or "core").replace("-", ".").split(".")
    return "".join(word.title() for word in (*words, version))


def operations(kind: Kind) -> Iterator[Operation]:
    """Everything that can be asked of a kind and its subresources."""
    collection = kind.path("{namespace}" if kind.namespaced else None)
    if kind.namespaced and "list" in kind.verbs:
        yield _operation(kind, kind.path(), "list")
    for verb in ("list", "create", "deletecollection"):
        if verb in kind.verbs:
            yield _operation(kind, collection, verb)
    if "get" in kind.verbs:
        for verb in ("get", "update", "delete", "patch"):
            if verb in kind.verbs:
                yield _operation(kind, f"{collection}/{{name}}", verb)
    for sub in kind.subresources:
        path = f"{collection}/{{name}}/{sub.name}"
        yield from _connections(kind, path, sub) if sub.kind in _ASKED else _below(kind, path, sub)


def _operation(kind: Kind, path: str, verb: str) -> Operation:
    name = type_name(kind)
    word = "delete" if verb == "deletecollection" else _WORDS.get(verb, verb)
    scope = ("Collection" if verb == "deletecollection" else "") + _scope(path)
    every = "ForAllNamespaces" if kind.namespaced and path == kind.path() else ""
    takes = {"create": name, "update": name, "patch": PATCH, "delete": OPTIONS, "deletecollection": OPTIONS}
    answers = {"list": list_name(kind), "deletecollection": STATUS}
    if kind not in SHOWN_DELETED or kind.kind == "Namespace":
        answers["delete"] = STATUS
    return Operation(
        path, {"list": "get", "deletecollection": "delete"}.get(verb) or _METHODS[verb], verb,
        f"{word}{group_words(kind.group, kind.version)}{scope}{kind.kind}{every}",
        (kind.group, kind.version, kind.kind), _QUERY[verb], takes.get(verb, ""), answers.get(verb, name),
    )  # fmt: skip


def _scope(path: str) -> str:
    return "Namespaced" if "{namespace}" in path else ""


def _below(kind: Kind, path: str, sub: Subresource) -> Iterator[Operation]:
    group, version = (sub.group, sub.version) if sub.version else (kind.group, kind.version)
    name = type_name(kind) if sub.kind == kind.kind else type_of(group, version, sub.kind) or ""
    for verb in ("get", "update", "create", "patch"):
        if verb in sub.verbs:
            word = f"{_WORDS.get(verb, verb)}{group_words(kind.group, kind.version)}{_scope(path)}"
            yield Operation(
                path, _METHODS[verb], verb, f"{word}{kind.kind}{sub.name.title()}", (group, version, sub.kind),
                _LOG if sub.name == "log" else _QUERY[verb], {"get": "", "patch": PATCH}.get(verb, name),
                "" if sub.name == "log" else name,
            )  # fmt: skip


def _connections(kind: Kind, path: str, sub: Subresource) -> Iterator[Operation]:
    """What passes a stream or a request on. Those that take any method take a path behind theirs as well."""
    anything = "update" in sub.verbs
    group = group_words(kind.group, kind.version)
    for behind, suffix in (("", ""), ("/{path}", "WithPath")) if anything else (("", ""),):
        for method in _ANY if anything else ("get", "post"):
            name = f"connect{group}{method.title()}{_scope(path)}{kind.kind}{sub.name.title()}{suffix}"
            gvk = (kind.group, kind.version, sub.kind)
            yield Operation(path + behind, method, "connect", name, gvk, _ASKED[sub.kind], "", "")
