"""/metrics of the API server: its requests, watches, objects and process, under kube-apiserver's names."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from netsim.api.kinds import Kind
from netsim.api.prometheus import CONTENT_TYPE, Row, render_metric
from netsim.http.types import Response
from netsim.server.codec import prefix_of
from netsim.server.core import Core
from netsim.server.discovery import VERSION
from netsim.server.traffic import Traffic

_NAMES = ("verb", "group", "version", "resource", "subresource", "scope", "code")


class Process(NamedTuple):
    """What this process has used: CPU in seconds, resident memory in bytes, and since when (epoch seconds)."""

    cpu: float
    memory: int
    started: float


async def serve(core: Core) -> Response:
    objects = {kind: await _count(core, kind) for kind in core.registry.kinds if kind.stored and not kind.view_of}
    text = render_metrics(core.traffic, core.hub.watchers, objects, _measure(core.traffic))
    return Response(200, [("Content-Type", CONTENT_TYPE)], text.encode())


async def _count(core: Core, kind: Kind) -> int:
    page = await core.store.list(prefix_of(kind), limit=1)
    return len(page.items) + page.remaining


def _measure(traffic: Traffic) -> Process:
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return Process(time.process_time(), pages * os.sysconf("SC_PAGE_SIZE"), traffic.started)


def render_metrics(traffic: Traffic, watchers: int, objects: Mapping[Kind, int], process: Process) -> str:
    """The text; labels that are empty are left out, which is the same to Prometheus."""
    metrics: list[tuple[str, str, str, list[Row]]] = [
        ("apiserver_request_total", "counter", "[STABLE] Requests answered", list(_requests(traffic))),
        (
            "apiserver_current_inflight_requests", "gauge", "[STABLE] Requests being answered",
            [_row(traffic.reading, request_kind="readOnly"), _row(traffic.writing, request_kind="mutating")],
        ),
        ("apiserver_longrunning_requests", "gauge", "Open watches", [_row(watchers, verb="WATCH")]),
        (
            "apiserver_storage_objects", "gauge", "[STABLE] Stored objects",
            [_row(n, resource=f"{k.plural}.{k.group}".rstrip(".")) for k, n in objects.items()],
        ),
        (
            "apiserver_resource_objects", "gauge", "Stored objects",
            [_row(n, group=k.group, resource=k.plural) for k, n in objects.items()],
        ),
        (
            "kubernetes_build_info", "gauge", "The version claimed. The value is always 1.",
            [_row(1, major=VERSION["major"], minor=VERSION["minor"], git_version=VERSION["gitVersion"])],
        ),
        ("process_cpu_seconds_total", "counter", "CPU time of this process", [_row(process.cpu)]),
        ("process_resident_memory_bytes", "gauge", "Resident memory in bytes", [_row(process.memory)]),
        ("process_start_time_seconds", "gauge", "Start time since the epoch", [_row(process.started)]),
    ]  # fmt: skip
    return "\n".join(line for metric in metrics for line in render_metric(*metric)) + "\n"


def _row(value: float, **labels: str) -> Row:
    return {key: text for key, text in labels.items() if text}, value, None


def _requests(traffic: Traffic) -> Iterator[Row]:
    for labels, number in sorted(traffic.requests.items()):
        shown = dict(zip(_NAMES, map(str, labels), strict=True))
        yield _row(number, component="apiserver", **shown)
