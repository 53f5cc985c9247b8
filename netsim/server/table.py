"""Tables: objects as rows of printed cells (meta.k8s.io Table; pure)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from netsim.api.errors import bad_request
from netsim.api.kinds import Kind, Obj
from netsim.server import custom
from netsim.server.columns import apps, batch, core, devices, networking, other, policy, storage
from netsim.server.columns.base import Printer

_PRINTERS: dict[Kind, Printer] = {
    kind: printer
    for module in (core, apps, batch, networking, policy, storage, devices, other)
    for kind, printer in module.PRINTERS.items()
}
INCLUDES = ("None", "Metadata", "Object", "")


def printer_of(kind: Kind) -> Printer:
    """The kind's own printer, or Name and Age."""
    if kind.custom is not None:
        return custom.printer(kind.custom)
    return _PRINTERS.get(kind, core.DEFAULT)


def definitions(kind: Kind) -> list[Obj]:
    return [column.definition() for column in printer_of(kind).columns]


def check_include(include: str) -> None:
    """400 unless includeObject is one of its values."""
    if include not in INCLUDES:
        raise bad_request(f'unrecognized includeObject value: "{include}"')


def partial_object(obj: Obj, version: str = "v1") -> Obj:
    """The object's metadata as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def _row(printer: Printer, obj: Obj, now: datetime, version: str, include: str) -> Obj:
    row: Obj = {"cells": printer.cells(obj, now)}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial_object(obj, version)
    else:
        row["object"] = None
    return row


def build_table(
    kind: Kind, objects: Iterable[Obj], metadata: Obj, now: datetime, *, version: str = "v1", include: str = "",
    with_columns: bool = True,
) -> Obj:  # fmt: skip
    """A Table in meta.k8s.io `version`; `metadata` is the list's (resourceVersion, continue …)."""
    printer = printer_of(kind)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": definitions(kind) if with_columns else None,
        "rows": [_row(printer, obj, now, version, include) for obj in objects],
    }
