"""Custom objects in requests: decoding by their structural schema, printed columns, the scale subresource (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from netsim.api import errors, jsonpath, structural
from netsim.api.causes import shown
from netsim.api.deprecations import DEPRECATED
from netsim.api.errors import StatusError
from netsim.api.kind import Custom, Kind, Obj
from netsim.api.times import parse_time
from netsim.http.types import Response
from netsim.server.bodies import DecodingError, check_fields, complete_type, warning_header
from netsim.server.columns.base import AGE, NAME, Column, Printer, age, name, since

PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
)
"""What a custom object can be patched with: there is no Go type to merge strategically by."""


def custom_object(
    kind: Kind, custom: Custom, obj: Obj, duplicates: Iterable[str], validation: str, warnings: list[str]
) -> Obj:
    """The body as the server keeps it: unknown fields dropped (and refused or warned of), defaults filled in."""
    obj = complete_type(kind, obj)
    wrong = structural.metadata_error(obj)
    if wrong:
        raise DecodingError(kind, wrong)
    pruned, unknown = structural.prune(custom.schema, obj)
    problems = [*duplicates, *(f'unknown field "{path}"' for path in unknown)]
    warnings += check_fields(kind, problems, validation)
    return structural.complete(custom.schema, pruned)


def check_open(kind: Kind, verb: str, closed: Collection[str]) -> None:
    """405 for creating an object whose definition is being deleted."""
    if verb == "create" and kind.resource in closed:
        message = "create not allowed while custom resource definition is terminating"
        raise StatusError(405, "MethodNotAllowed", message, {})


def version_warning(kind: Kind) -> str:
    """What is warned of where the version is a deprecated one, "" elsewhere."""
    return kind.custom.warning if kind.custom is not None else DEPRECATED.get(kind, "")


def warn_of_version(kind: Kind, response: Response) -> Response:
    """The response with a Warning where the version is a deprecated one."""
    warning = version_warning(kind)
    if warning:
        response.headers.append(warning_header(warning))
    return response


# --- columns -----------------------------------------------------------------------------------------------------


def printer(custom: Custom) -> Printer:
    """The definition's columns behind the name; the age alone where it has none."""
    if not custom.columns:
        return Printer((NAME, AGE), lambda obj, now: [name(obj), age(obj, now)])
    columns = (NAME, *(_column(column) for column in custom.columns))
    return Printer(columns, lambda obj, now: [name(obj), *(_cell(column, obj, now) for column in custom.columns)])


def _column(column: Obj) -> Column:
    described = column.get("description") or (
        f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    )
    return Column(column["name"], column["type"], column.get("format", ""), column.get("priority", 0), described)


def _cell(column: Obj, obj: Obj, now: datetime) -> Any:
    """The value at the column's path as its type shows it; None where there is none."""
    value, kind = jsonpath.find(column["jsonPath"], obj), column["type"]
    if value is None:
        return None
    if kind == "string":
        return value if isinstance(value, str) else shown(value)
    if kind == "date":
        return _date(value, now)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "integer":
        return int(value) if is_number else None
    return value if (is_number if kind == "number" else isinstance(value, bool)) else None


def _date(value: Any, now: datetime) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        parse_time(value)
    except ValueError:
        return "<invalid>"
    return since(value, now)


# --- scale -------------------------------------------------------------------------------------------------------


def scale_of(custom: Custom, obj: Obj) -> Obj:
    """The Scale of a custom object; 500, as in Kubernetes, if it has no replicas."""
    paths = custom.scale or {}
    replicas = jsonpath.find(paths["specReplicasPath"], obj)
    if not isinstance(replicas, int):
        raise errors.internal(f'the spec replicas field "{paths["specReplicasPath"]}" does not exist')
    status: Obj = {"replicas": jsonpath.find(paths["statusReplicasPath"], obj) or 0}
    selector = jsonpath.find(paths["labelSelectorPath"], obj) if paths.get("labelSelectorPath") else None
    if selector:
        status["selector"] = selector
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    metadata = {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {"replicas": replicas},
        "status": status,
    }  # fmt: skip


def scaled(custom: Custom, obj: Obj, replicas: int) -> Obj:
    """The object with that many replicas wanted."""
    changed: Obj = jsonpath.put((custom.scale or {})["specReplicasPath"], obj, replicas)
    return changed
