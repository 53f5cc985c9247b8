"""Starts the shared caches and every controller in the current event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from netsim.api import kinds
from netsim.api.kinds import CUSTOM_RESOURCE_DEFINITIONS, EVENTS, KINDS, Kind, Obj
from netsim.api.load_balancer import parse_pool
from netsim.client.cache import Cache, OnChange
from netsim.client.reflector import Reflector
from netsim.client.rest import Client
from netsim.controllers import (
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpoints,
    endpointslice,
    hpa,
    job,
    load_balancer,
    load_balancer_election,
    namespace,
    node_ipam,
    node_lifecycle,
    node_ttl,
    podgc,
    quota,
    replicaset,
    serviceaccount,
    slice_mirroring,
    statefulset,
    taint_eviction,
    ttl_after_finished,
    volume_claims,
    volume_protection,
    volumes,
)
from netsim.controllers.controller import Controller
from netsim.controllers.custom import CustomKinds
from netsim.controllers.garbage import Collector
from netsim.controllers.loop import Clock, Runner
from netsim.controllers.names import chosen
from netsim.controllers.recorder import EventRecorder
from netsim.controllers.served import Served
from netsim.controllers.view import View, indexes_of

log = logging.getLogger(__name__)

CACHED: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind.stored and not kind.view_of and kind is not EVENTS)
"""Kinds the controllers keep a cache of: all but Events, which own nothing and would fill the memory."""


METADATA_ONLY: frozenset[Kind] = frozenset(
    (
        kinds.CERTIFICATE_SIGNING_REQUESTS,
        kinds.CLUSTER_ROLE_BINDINGS,
        kinds.CLUSTER_ROLES,
        kinds.CSI_DRIVERS,
        kinds.CSI_NODES,
        kinds.CSI_STORAGE_CAPACITIES,
        kinds.DEVICE_CLASSES,
        kinds.INGRESS_CLASSES,
        kinds.INGRESSES,
        kinds.IP_ADDRESSES,
        kinds.LIMIT_RANGES,
        kinds.NETWORK_POLICIES,
        kinds.POD_TEMPLATES,
        kinds.PRIORITY_CLASSES,
        kinds.RESOURCE_CLAIM_TEMPLATES,
        kinds.RESOURCE_SLICES,
        kinds.ROLE_BINDINGS,
        kinds.ROLES,
        kinds.RUNTIME_CLASSES,
        kinds.SECRETS,
        kinds.SERVICE_CIDRS,
        kinds.VOLUME_ATTACHMENTS,
    )
)
"""Of these, as of custom kinds, the caches hold the metadata alone: they are collected, counted and deleted, but no
controller reads what they say. A Secret may be a megabyte."""


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """`cluster_cidr` is cut into one part of /`node_mask` a Node (comma-separated pair for dual stack, with
    `node_mask_v6` for the second family); `root_ca_pem` is what pods trust the API server by ("" leaves
    kube-root-ca.crt out); a Node silent for `node_monitor_grace` seconds is lost; `pod_gc_quarantine` is how long
    a deleted Node's pods are kept; Services of type LoadBalancer get addresses of `lb_pool` ("" for none); autoscalers
    look at their targets every `hpa_sync` seconds; `controllers` says which run (see `names.chosen`)."""

    cluster_cidr: str = "10.244.0.0/16"
    node_mask: int = 24
    node_mask_v6: int = 64
    root_ca_pem: str = ""
    node_monitor_grace: float = 50.0
    pod_gc_quarantine: float = 40.0
    lb_pool: str = ""
    hpa_sync: float = hpa.SYNC_SECONDS
    controllers: str = "*"


def utc_now() -> datetime:
    return datetime.now(UTC)


def controllers_of(config: ControllerConfig, served: Served) -> list[Controller]:
    """The controllers of the cluster, for the kinds that are `served` at each moment. Raises ValueError if a CIDR and
    its mask do not fit, the pool is none, or `controllers` names what is none."""
    pool = parse_pool(config.lb_pool)
    cidrs = [cidr.strip() for cidr in config.cluster_cidr.split(",")]
    masks = [config.node_mask_v6 if ":" in cidr else config.node_mask for cidr in cidrs]
    every = [
        deployment.CONTROLLER,
        replicaset.CONTROLLER,
        replicaset.REPLICATION_CONTROLLER,
        statefulset.CONTROLLER,
        daemonset.controller(),
        job.controller(),
        cronjob.CONTROLLER,
        ttl_after_finished.CONTROLLER,
        endpointslice.CONTROLLER,
        endpoints.CONTROLLER,
        slice_mirroring.CONTROLLER,
        hpa.Autoscaler(config.hpa_sync, served).controller(),
        disruption.CONTROLLER,
        quota.controller(served),
        node_ipam.controller(cidrs, masks),
        node_lifecycle.controller(config.node_monitor_grace),
        node_ttl.controller(),
        taint_eviction.controller(),
        podgc.controller(config.pod_gc_quarantine),
        namespace.controller(served),
        Collector(served).controller(),
        serviceaccount.controller(config.root_ca_pem),
        volume_claims.CONTROLLER,
        volumes.CONTROLLER,
        *volume_protection.CONTROLLERS,
        *([load_balancer.controller(pool), load_balancer_election.controller(pool)] if pool else []),
    ]
    names = chosen(config.controllers)
    return [controller for controller in every if controller.name in names]


def new_caches() -> dict[str, Cache]:
    """Empty caches of all built-in kinds, by `Kind.resource`, for `run_controllers` to fill; others may read them."""
    return {kind.resource: _cache(kind) for kind in CACHED}


async def run_controllers(
    client: Client, config: ControllerConfig, clock: Clock = utc_now, caches: dict[str, Cache] | None = None
) -> None:
    """Run until cancelled. `clock` gives the wall-clock time, aware. If any part ends with an error, the rest is
    cancelled and the error raised."""
    served = Served(CACHED)
    controllers = controllers_of(config, served)
    caches = new_caches() if caches is None else caches
    custom = CustomKinds(client, served, caches, _cache)
    async with asyncio.TaskGroup() as group:
        for kind in CACHED:
            reflector = Reflector(client, kind, caches[kind.resource], metadata_only=kind in METADATA_ONLY)
            group.create_task(reflector.run(), name=f"reflector {kind.resource}")
        await asyncio.gather(*(cache.wait_synced() for cache in caches.values()))
        runners: list[Runner] = []
        for controller in controllers:
            recorder = EventRecorder(client, controller.reporter or controller.name)
            runner = Runner(controller, client, caches, recorder.record, clock)
            runners.append(runner)
            custom.added.append(_taker(runner, caches, clock))
            group.create_task(recorder.run(), name=f"events {controller.name}")
            group.create_task(runner.run(), name=controller.name)
        _connect(runners, caches, clock)
        group.create_task(custom.run(caches[CUSTOM_RESOURCE_DEFINITIONS.resource]), name="custom kinds")


def _cache(kind: Kind) -> Cache:
    cache = Cache()
    for name, function in indexes_of(kind).items():
        cache.add_index(name, function)
    return cache


def _connect(runners: list[Runner], caches: dict[str, Cache], clock: Clock) -> None:
    """Let all hear of changes of every kind they watch, and of every other one for the sake of own writes."""
    for resource, cache in caches.items():
        cache.on_change(_listener(runners, resource, caches, clock))


def _taker(runner: Runner, caches: dict[str, Cache], clock: Clock) -> Callable[[Kind, Cache], None]:
    def take_up(kind: Kind, cache: Cache) -> None:
        runner.take_up(kind)
        cache.on_change(_listener([runner], kind.resource, caches, clock))

    return take_up


def _listener(runners: list[Runner], resource: str, caches: dict[str, Cache], clock: Clock) -> OnChange:
    """Most changes concern a few controllers only: the others must cost nothing, and these share one view."""
    wakes = [(runner, runner.wake_of(resource)) for runner in runners]

    def changed(key: str, old: Obj | None, new: Obj | None) -> None:
        view = View(caches, clock(), ticks=time.monotonic())
        for runner, wake in wakes:
            try:
                if runner.expected:
                    runner.seen(resource, key, old, new)
                if wake is not None:
                    for found in wake(view, old, new):
                        runner.add(found)
            except Exception:  # of one controller; the others are to hear of it all the same
                log.exception("%s: not woken by %s %s", runner.name, resource, key)

    return changed
