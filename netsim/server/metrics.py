"""metrics.k8s.io: what nodes and pods use now, asked of the nodes' agents when it is read.

A node's summary is kept for a moment, so that `kubectl top` and the autoscaler do not each measure anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC

import orjson

from netsim.api import errors, kinds
from netsim.api.kinds import NODE_METRICS, POD_METRICS, Obj
from netsim.api.objects import name_of, namespace_of
from netsim.http.types import Request, Response
from netsim.server import table
from netsim.server.core import Call, Core
from netsim.server.metrics_objects import node_metrics, pod_metrics
from netsim.server.requests import parse_list_options
from netsim.server.responses import json_response
from netsim.server.selection import compile_selection
from netsim.server.streams import kubelet_client, node_address

log = logging.getLogger(__name__)

KINDS = (NODE_METRICS, POD_METRICS)
FRESH_SECONDS = 2.0
ANSWER_SECONDS = 5.0


async def serve(core: Core, call: Call) -> Response:
    """GET and LIST of NodeMetrics and PodMetrics."""
    if call.target.name:
        found = await _measured(core, call, name=call.target.name)
        if not found:
            where = f"{call.namespace}/" if call.namespace else ""
            raise errors.not_found(call.kind, f"{where}{call.target.name}")
        return _answer(core, call, found, one=True)
    options = parse_list_options(call.request, watch=False)
    selection = compile_selection(call.kind, call.namespace, options.label_selector, options.field_selector)
    found = [obj for obj in await _measured(core, call) if selection.matches(obj)]
    return _answer(core, call, found)


def _answer(core: Core, call: Call, found: list[Obj], *, one: bool = False) -> Response:
    if call.format.shape == "Table":
        now, include = core.clock().astimezone(UTC), call.request.param("includeObject")
        body = table.build_table(call.kind, found, {}, now, version=call.format.version, include=include)
        return json_response(body)
    if one:
        return json_response(found[0])
    head = {"kind": call.kind.list_kind, "apiVersion": call.kind.api_version, "metadata": {}}
    return json_response({**head, "items": found})


async def _measured(core: Core, call: Call, name: str = "") -> list[Obj]:
    if call.kind is NODE_METRICS:
        nodes = [node for node in await core.objects(kinds.NODES) if name in ("", name_of(node))]
        found = await summaries(core, nodes)
        return [node_metrics(node, found[name_of(node)]) for node in nodes if name_of(node) in found]
    pods = [pod for pod in await core.objects(kinds.PODS, call.namespace) if name in ("", name_of(pod))]
    wanted = {pod["spec"].get("nodeName") for pod in pods}
    found = await summaries(core, [node for node in await core.objects(kinds.NODES) if name_of(node) in wanted])
    return list(_pods_metrics(pods, found))


def _pods_metrics(pods: list[Obj], found: dict[str, Obj]) -> Iterable[Obj]:
    for pod in sorted(pods, key=lambda pod: (namespace_of(pod), name_of(pod))):
        summary = found.get(pod["spec"].get("nodeName", ""))
        measured = pod_metrics(pod, summary) if summary is not None else None
        if measured is not None:
            yield measured


async def summaries(core: Core, nodes: list[Obj]) -> dict[str, Obj]:
    """The agents' summaries by node; a node whose agent does not answer is left out."""
    answers = await asyncio.gather(*(_summary(core, node) for node in nodes))
    return {name_of(node): answer for node, answer in zip(nodes, answers, strict=True) if answer is not None}


async def _summary(core: Core, node: Obj) -> Obj | None:
    name, clock = name_of(node), asyncio.get_running_loop().time
    asked_at, known = core.summaries.get(name, (float("-inf"), {}))
    if clock() - asked_at < FRESH_SECONDS:
        return known
    address = node_address(node)
    if not address:
        return None
    client = kubelet_client(core, address)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await client(Request("GET", "/stats/summary", [], [], b""))
    except (OSError, TimeoutError) as error:
        log.info("node %s gives no account of what it uses: %s", name, error or type(error).__name__)
        return None
    finally:
        await client.close()
    if answer.status != 200 or not isinstance(answer.body, bytes):
        log.warning("node %s: /stats/summary answers %d", name, answer.status)
        return None
    try:
        summary: Obj = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        log.warning("node %s: /stats/summary is no JSON: %s; is that port its agent's?", name, error)
        return None
    core.summaries[name] = (clock(), summary)
    return summary
