"""What a request asks for: the parsed path and verb, and the options in its query (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import orjson

from netsim.api import kinds
from netsim.api.errors import FORBIDDEN, INVALID, NOT_SUPPORTED, TOO_LONG, Cause, bad_request, invalid_named
from netsim.api.kinds import Kind
from netsim.http.types import Request
from netsim.server.registry import STATIC, Registry

_LONGEST_NUMBER = 19
LONGEST_MANAGER = 128
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False", ""))
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}
CONNECTS = frozenset(("attach", "exec", "portforward", "proxy"))
"""Subresources whose requests go on to what runs elsewhere."""
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


def parse_bool(text: str) -> bool:
    """A boolean parameter as Kubernetes reads it: what is not false is true. Go's short forms count; "" is absent."""
    return text not in _FALSE


def parse_flag(values: Sequence[str]) -> bool:
    """As `parse_bool`, but the parameter alone ("?watch") is true too."""
    return bool(values) and (values[0] == "" or parse_bool(values[0]))


def parse_int(text: str) -> int | None:
    """A decimal integer, None when empty; anything else is a 400 in Kubernetes' words."""
    if not text:
        return None
    if len(text) > _LONGEST_NUMBER:
        raise bad_request(f'strconv.ParseInt: parsing "{text[:_LONGEST_NUMBER]}...": value out of range')
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


class Target(NamedTuple):
    """What a path and method name, in the words of authorization.

    `verb` is get, list, watch, create, update, patch, delete or deletecollection for resources and the lower case
    method otherwise. `resource` is empty for non-resource paths; `kind` is None when nothing of that name is served.
    """

    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    kind: Kind | None = None

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)


def parse_target(request: Request, registry: Registry = STATIC) -> Target:
    """The target of a request among what is served; paths other than /api/V/… and /apis/G/V/… are non-resource."""
    parts = [part for part in request.path.split("/") if part]
    if len(parts) > 2 and parts[0] == "api":
        return _resource_target(request, registry, "", parts[1], parts[2:])
    if len(parts) > 3 and parts[0] == "apis":
        return _resource_target(request, registry, parts[1], parts[2], parts[3:])
    return Target(request.method.lower(), request.path)


def _resource_target(request: Request, registry: Registry, group: str, version: str, parts: list[str]) -> Target:
    watch = parts[0] == "watch" and len(parts) > 1
    if watch:
        parts = parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and not (len(parts) == 3 and parts[2] in _NAMESPACE_SUBRESOURCES):
        namespace, parts = parts[1], parts[2:]
    resource, name, subresource = [*parts, "", ""][:3]
    kind = registry.by_plural(group, version, resource)
    if namespace and kind is kinds.NAMESPACES:  # they are in none: rights in one say nothing of the others
        kind = None
    verb = "watch" if watch else _verb(request, name)
    if kind is kinds.NAMESPACES and name:
        namespace = name
    return Target(verb, request.path, group, version, resource, subresource, namespace, name, kind)


def _verb(request: Request, name: str) -> str:
    if name:
        return _VERBS.get(request.method, request.method.lower())
    if request.method in ("GET", "HEAD"):
        return "watch" if parse_flag(request.params("watch")) else "list"
    if request.method == "DELETE":
        return "deletecollection"
    return _VERBS.get(request.method, request.method.lower())


class WriteOptions(NamedTuple):
    """Options of create, update and patch. `field_validation` is Ignore, Warn (default) or Strict."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool = False


def _options_error(options: str, reason: str, message: str, field: str) -> Exception:
    return invalid_named("meta.k8s.io", options, "", [Cause(reason, message, field)])


def parse_dry_run(values: Sequence[str], options: str) -> bool:
    """True for ["All"], False for none; anything else is a 422 on `options` (CreateOptions, …)."""
    if any(value != "All" for value in values):
        listed = ", ".join(f'"{value}"' for value in values)
        raise _options_error(
            options, NOT_SUPPORTED, f'Unsupported value: [{listed}]: supported values: "All"', "dryRun"
        )
    return bool(values)


def _check_manager(name: str, options: str) -> None:
    if name.isascii() and name.isprintable() and len(name) <= LONGEST_MANAGER:
        return
    if len(name.encode()) > LONGEST_MANAGER:
        message = f"Too long: may not be more than {LONGEST_MANAGER} bytes"
        raise _options_error(options, TOO_LONG, message, "fieldManager")
    for index, char in enumerate(name):
        if not char.isprintable():
            value = orjson.dumps(name).decode()
            message = f"Invalid value: {value}: invalid character U+{ord(char):04X} (at position {index})"
            raise _options_error(options, INVALID, message, "fieldManager")


@lru_cache(64)
def _default_manager(user_agent: str) -> str:
    """What managedFields call a client that does not say: its User-Agent up to the first slash."""
    agent = user_agent.partition("/")[0]
    shown = "".join(char for char in agent if char.isprintable()).encode()[:LONGEST_MANAGER]
    return shown.decode("utf-8", "ignore") or "unknown"


@lru_cache(64)
def _default_options(user_agent: str) -> WriteOptions:
    return WriteOptions(field_manager=_default_manager(user_agent))


def parse_write_options(request: Request, options: str) -> WriteOptions:
    """WriteOptions from the query; `options` is the name used in errors, such as CreateOptions."""
    if not request.query:
        return _default_options(request.header("user-agent"))
    validation = request.param("fieldValidation")
    if validation not in ("", "Ignore", "Strict", "Warn"):
        text = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        raise _options_error(options, NOT_SUPPORTED, text, "fieldValidation")
    manager = request.param("fieldManager")
    _check_manager(manager, options)
    return WriteOptions(
        dry_run=parse_dry_run(request.params("dryRun"), options),
        field_manager=manager or _default_manager(request.header("user-agent")),
        field_validation=validation or "Warn",
        force=parse_bool(request.param("force")),
    )


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Options of list and watch. `revision` is None when not given."""

    label_selector: str = ""
    field_selector: str = ""
    revision: int | None = None
    revision_match: str = ""
    limit: int = 0
    continue_token: str = ""
    bookmarks: bool = False
    timeout: int | None = None
    initial_events: bool | None = None


def parse_revision(text: str) -> int | None:
    """A resourceVersion parameter; None when empty, 400 when it is no unsigned integer."""
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER:
        return int(text)
    why = "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
    problem = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {why}'
    raise bad_request(f"invalid resource version: {problem}")


def parse_list_options(request: Request, *, watch: bool) -> ListOptions:
    """ListOptions from the query, checked for contradictions as Kubernetes does."""
    initial = request.params("sendInitialEvents")
    options = ListOptions(
        label_selector=request.param("labelSelector"),
        field_selector=request.param("fieldSelector"),
        revision=parse_revision(request.param("resourceVersion")),
        revision_match=request.param("resourceVersionMatch"),
        limit=max(0, parse_int(request.param("limit")) or 0),
        continue_token=request.param("continue"),
        bookmarks=parse_flag(request.params("allowWatchBookmarks")),
        timeout=parse_int(request.param("timeoutSeconds")),
        initial_events=parse_flag(initial) if initial else None,
    )
    causes = list(_watch_causes(options) if watch else _list_causes(options))
    if causes:
        raise invalid_named("meta.k8s.io", "ListOptions", "", causes)
    if options.continue_token and options.revision:
        raise bad_request("specifying resource version is not allowed when using continue")
    return options


_MATCH = "resourceVersionMatch"


def _forbidden(field: str, why: str) -> Cause:
    return Cause(FORBIDDEN, f"Forbidden: {why}", field)


def _unsupported_match(match: str, *supported: str) -> Cause:
    listed = ", ".join(f'"{name}"' for name in supported)
    return Cause(NOT_SUPPORTED, f'Unsupported value: "{match}": supported values: {listed}', _MATCH)


def _list_causes(options: ListOptions) -> Iterator[Cause]:
    match = options.revision_match
    if match:
        if options.revision is None:
            yield _forbidden(_MATCH, f"{_MATCH} is forbidden unless resourceVersion is provided")
        if options.continue_token:
            yield _forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided")
        if match not in ("Exact", "NotOlderThan"):
            yield _unsupported_match(match, "Exact", "NotOlderThan", "")
        if match == "Exact" and options.revision == 0:
            yield _forbidden(_MATCH, f'{_MATCH} "exact" is forbidden for resourceVersion "0"')
    if options.initial_events is not None:
        yield _forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")


def _watch_causes(options: ListOptions) -> Iterator[Cause]:
    match = options.revision_match
    if options.initial_events is not None and match != "NotOlderThan":
        yield _forbidden(_MATCH, f"sendInitialEvents requires setting {_MATCH} to NotOlderThan")
    # A watch that says neither where nor how to begin counts as one that asks for what is there.
    unsaid = not match and options.initial_events is None and not options.revision
    if options.continue_token and unsaid:
        yield _forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided")
    if not match:
        return
    if options.initial_events is None:
        yield _forbidden(_MATCH, f"{_MATCH} is forbidden for watch unless sendInitialEvents is provided")
    if match != "NotOlderThan":
        yield _unsupported_match(match, "NotOlderThan")
    if options.continue_token:
        yield _forbidden(_MATCH, f"{_MATCH} is forbidden when continue is provided")
