"""What an object must satisfy before it is stored: one entry for creation, one for updates.

Objects are typed (`schema.typed_errors`) and defaulted (`defaults.set_defaults`). Rules that need the cluster's state
(free addresses and ports, existing names) belong to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from netsim.api import (
    kinds,
    service_addresses,
    validate_addresses,
    validate_autoscaling,
    validate_batch,
    validate_certificates,
    validate_cluster,
    validate_csi,
    validate_definitions,
    validate_device_slices,
    validate_devices,
    validate_events,
    validate_limits,
    validate_metadata,
    validate_networking,
    validate_persistent,
    validate_pods,
    validate_runtime,
    validate_scale,
    validate_services,
    validate_slices,
    validate_small,
    validate_status,
    validate_storage,
    validate_workloads,
)
from netsim.api.causes import invalid
from netsim.api.errors import DUPLICATE, NOT_SUPPORTED, REQUIRED, TOO_LONG, TYPE_INVALID, Cause
from netsim.api.kind import Custom
from netsim.api.kinds import Kind, Obj
from netsim.api.objects import annotations_of
from netsim.api.structural import has_rules
from netsim.api.structural_values import NOWHERE, TOO_MANY, value_errors

_BLOCKING = frozenset((NOT_SUPPORTED, REQUIRED, TOO_LONG, TOO_MANY, TYPE_INVALID))
_UNCHECKED = invalid(
    NOWHERE,
    None,
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation",
)

_RULES: dict[Kind, Callable[[Obj], Iterator[Cause]]] = {
    kinds.PODS: validate_pods.pod,
    kinds.SERVICES: validate_services.service,
    kinds.ENDPOINTS: validate_services.endpoints,
    kinds.ENDPOINT_SLICES: validate_slices.endpoint_slice,
    kinds.DEPLOYMENTS: validate_workloads.deployment,
    kinds.REPLICA_SETS: validate_workloads.replica_set,
    kinds.REPLICATION_CONTROLLERS: validate_workloads.replication_controller,
    kinds.STATEFUL_SETS: validate_workloads.stateful_set,
    kinds.DAEMON_SETS: validate_workloads.daemon_set,
    kinds.POD_TEMPLATES: validate_workloads.pod_template,
    kinds.CONTROLLER_REVISIONS: validate_workloads.controller_revision,
    kinds.JOBS: validate_batch.job,
    kinds.CRON_JOBS: validate_batch.cron_job,
    kinds.HORIZONTAL_POD_AUTOSCALERS: validate_autoscaling.autoscaler,
    kinds.POD_DISRUPTION_BUDGETS: validate_autoscaling.disruption_budget,
    kinds.INGRESSES: validate_networking.ingress,
    kinds.INGRESS_CLASSES: validate_networking.ingress_class,
    kinds.NETWORK_POLICIES: validate_networking.network_policy,
    kinds.IP_ADDRESSES: validate_addresses.ip_address,
    kinds.RUNTIME_CLASSES: validate_runtime.runtime_class,
    kinds.PERSISTENT_VOLUMES: validate_persistent.volume,
    kinds.PERSISTENT_VOLUME_CLAIMS: validate_storage.claim,
    kinds.STORAGE_CLASSES: validate_storage.storage_class,
    kinds.VOLUME_ATTRIBUTES_CLASSES: validate_storage.attributes_class,
    kinds.CSI_DRIVERS: validate_csi.csi_driver,
    kinds.CSI_NODES: validate_csi.csi_node,
    kinds.CSI_STORAGE_CAPACITIES: validate_csi.storage_capacity,
    kinds.VOLUME_ATTACHMENTS: validate_csi.attachment,
    kinds.DEVICE_CLASSES: validate_devices.device_class,
    kinds.RESOURCE_SLICES: validate_device_slices.resource_slice,
    kinds.RESOURCE_QUOTAS: validate_limits.quota,
    kinds.LIMIT_RANGES: validate_limits.limit_range,
    kinds.CONFIG_MAPS: validate_small.config_map,
    kinds.SECRETS: validate_small.secret,
    kinds.NODES: validate_cluster.node,
    kinds.ROLES: validate_small.role,
    kinds.CLUSTER_ROLES: validate_small.cluster_role,
    kinds.ROLE_BINDINGS: validate_small.role_binding,
    kinds.CLUSTER_ROLE_BINDINGS: validate_small.cluster_role_binding,
    kinds.LEASES: validate_small.lease,
    kinds.EVENTS: validate_events.event,
    kinds.CERTIFICATE_SIGNING_REQUESTS: validate_certificates.signing_request,
    kinds.SELF_SUBJECT_ACCESS_REVIEWS: validate_small.access_review,
    kinds.SUBJECT_ACCESS_REVIEWS: validate_small.subject_review,
    kinds.LOCAL_SUBJECT_ACCESS_REVIEWS: validate_small.subject_review,
    kinds.CUSTOM_RESOURCE_DEFINITIONS: validate_definitions.definition,
}

_UPDATE_RULES: dict[Kind, Callable[[Obj, Obj], Iterator[Cause]]] = {
    kinds.PODS: validate_pods.pod_update,
    kinds.SERVICES: validate_services.service_update,
    kinds.ENDPOINT_SLICES: validate_slices.endpoint_slice_update,
    kinds.DEPLOYMENTS: validate_workloads.workload_update,
    kinds.REPLICA_SETS: validate_workloads.workload_update,
    kinds.DAEMON_SETS: validate_workloads.workload_update,
    kinds.STATEFUL_SETS: validate_workloads.stateful_set_update,
    kinds.CONTROLLER_REVISIONS: validate_workloads.controller_revision_update,
    kinds.JOBS: validate_batch.job_update,
    kinds.HORIZONTAL_POD_AUTOSCALERS: validate_autoscaling.autoscaler_update,
    kinds.INGRESS_CLASSES: validate_networking.ingress_class_update,
    kinds.IP_ADDRESSES: validate_addresses.ip_address_update,
    kinds.SERVICE_CIDRS: validate_addresses.service_cidr_update,
    kinds.RUNTIME_CLASSES: validate_runtime.runtime_class_update,
    kinds.PERSISTENT_VOLUMES: validate_persistent.volume_update,
    kinds.PERSISTENT_VOLUME_CLAIMS: validate_storage.claim_update,
    kinds.STORAGE_CLASSES: validate_storage.storage_class_update,
    kinds.VOLUME_ATTRIBUTES_CLASSES: validate_storage.attributes_class_update,
    kinds.CSI_DRIVERS: validate_csi.csi_driver_update,
    kinds.CSI_NODES: validate_csi.csi_node_update,
    kinds.CSI_STORAGE_CAPACITIES: validate_csi.storage_capacity_update,
    kinds.VOLUME_ATTACHMENTS: validate_csi.attachment_update,
    kinds.RESOURCE_CLAIMS: validate_devices.claim_update,
    kinds.RESOURCE_CLAIM_TEMPLATES: validate_devices.claim_template_update,
    kinds.RESOURCE_SLICES: validate_device_slices.resource_slice_update,
    kinds.RESOURCE_QUOTAS: validate_limits.quota_update,
    kinds.PRIORITY_CLASSES: validate_limits.priority_class_update,
    kinds.CONFIG_MAPS: validate_small.config_map_update,
    kinds.SECRETS: validate_small.secret_update,
    kinds.NAMESPACES: validate_cluster.namespace_update,
    kinds.NODES: validate_cluster.node_update,
    kinds.ROLE_BINDINGS: validate_small.role_binding_update,
    kinds.CLUSTER_ROLE_BINDINGS: validate_small.role_binding_update,
    kinds.CERTIFICATE_SIGNING_REQUESTS: validate_certificates.signing_request_update,
    kinds.CUSTOM_RESOURCE_DEFINITIONS: validate_definitions.definition_update,
}

# What only one subresource forbids.
_SUB_RULES: dict[tuple[Kind, str], Callable[[Obj, Obj], Iterator[Cause]]] = {
    (kinds.CERTIFICATE_SIGNING_REQUESTS, "status"): validate_certificates.signing_request_status,
}

# Of which it is told first what may not change, then what is wrong in itself.
_CHANGES_FIRST = frozenset(
    (kinds.CONFIG_MAPS, kinds.INGRESS_CLASSES, kinds.SECRETS, kinds.SERVICES, kinds.VOLUME_ATTRIBUTES_CLASSES)
)

# What is looked at before all else, and alone if it is wrong: addresses are allotted before a Service is judged.
_FIRST_RULES: dict[Kind, Callable[[Obj], Iterator[Cause]]] = {
    kinds.SERVICES: lambda service: service_addresses.cluster_addresses(service.get("spec") or {}),
}

# What only new objects must obey, beside the rules above.
_NEW_RULES: dict[Kind, Callable[[Obj], Iterator[Cause]]] = {
    kinds.HORIZONTAL_POD_AUTOSCALERS: validate_autoscaling.autoscaler_create,
    kinds.INGRESSES: validate_networking.ingress_create,
    kinds.NAMESPACES: validate_cluster.namespace_create,
    kinds.PODS: validate_pods.pod_create,
    kinds.PRIORITY_CLASSES: validate_limits.priority_class,
    kinds.RESOURCE_CLAIMS: validate_devices.claim,
    kinds.RESOURCE_CLAIM_TEMPLATES: validate_devices.claim_template,
    kinds.SERVICE_CIDRS: validate_addresses.service_cidr,
    kinds.STATEFUL_SETS: validate_workloads.stateful_set_create,
}


def validate_create(kind: Kind, obj: Obj) -> list[Cause]:
    """Every reason why a defaulted object may not be created; answer 422 with `errors.invalid`. Reviews have no
    metadata to check."""
    if wrong := _first(kind, obj):
        return wrong
    found = validate_metadata_alone(kind, obj) if kind.stored else []
    if kind.custom is not None:
        return _by_rules(kind.custom, [*found, *_custom(kind.custom, obj)], obj)
    rule = _NEW_RULES.get(kind) or _RULES.get(kind)
    return found + list(rule(obj) if rule else ())


def _first(kind: Kind, obj: Obj) -> list[Cause]:
    rule = _FIRST_RULES.get(kind)
    return list(rule(obj)) if rule else []


def validate_metadata_alone(kind: Kind, obj: Obj) -> list[Cause]:
    """What `validate_create` finds in the metadata."""
    return list(validate_metadata.metadata(kind, obj))


def _standing(kind: Kind, obj: Obj, old: Obj) -> list[Cause]:
    """The rules that an object keeps obeying, as far as anything has changed that they look at. Those of pods look at
    nothing but their specs, which hardly ever change; those of definitions have hundreds of expressions to compile."""
    found = [] if validate_metadata.same(obj, old) else validate_metadata_alone(kind, obj)
    if kind is kinds.PODS and obj.get("spec") == old.get("spec"):
        return found
    if kind is kinds.CUSTOM_RESOURCE_DEFINITIONS and _same_definition(obj, old):
        return found
    rule = _RULES.get(kind)
    wrong = list(rule(obj)) if rule is not None else []
    if wrong and rule is not None and _specified(obj) == _specified(old):
        before = list(rule(old))
        wrong = [cause for cause in wrong if cause not in before]
    return found + wrong


def _specified(obj: Obj) -> Obj:
    """All but metadata and status. What was stored before there was a rule may stay so as long as nobody changes it:
    controllers could not write its status any more."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _same_definition(new: Obj, old: Obj) -> bool:
    """Whether there is nothing to be judged: status is the server's own, and annotations tell of an approval."""
    return new.get("spec") == old.get("spec") and annotations_of(new) == annotations_of(old)


def validate_update(kind: Kind, new: Obj, old: Obj, sub: str = "") -> list[Cause]:
    """Every reason why `old` may not become `new`: the rules of creation, and what is immutable. For the main
    resource and the subresources that have no rules of their own."""
    if wrong := _first(kind, new):
        return wrong
    found = [*validate_metadata.metadata_update(new, old), *validate_status.status_update(kind, new, old)]
    if kind in _CHANGES_FIRST:
        return [*found, *_UPDATE_RULES[kind](new, old), *_standing(kind, new, old)]
    if kind.custom is not None:
        found += validate_metadata.metadata(kind, new)
        return _by_rules(kind.custom, [*found, *_custom(kind.custom, new, old)], new, old)
    if not (kind is kinds.PODS and _same_but_status(new, old)):
        found += _standing(kind, new, old)
    found += _UPDATE_RULES[kind](new, old) if kind in _UPDATE_RULES else ()
    return found + list(_SUB_RULES[kind, sub](new, old) if (kind, sub) in _SUB_RULES else ())


def _custom(custom: Custom, new: Obj, old: Obj | None = None) -> list[Cause]:
    """What the schema finds, and what does not fit the scale subresource before what lists have twice."""
    found = value_errors(custom.schema, new) if old is None else value_errors(custom.schema, new, old)
    spec = old is None or _specified(new) != _specified(old)
    scale = list(validate_scale.scale_errors(custom.scale, new, spec=spec))
    if not scale:
        return found
    twice = [cause for cause in found if cause.reason == DUPLICATE]
    return [*(cause for cause in found if cause.reason != DUPLICATE), *scale, *twice]


def _by_rules(custom: Custom, found: list[Cause], new: Obj, old: Obj | None = None) -> list[Cause]:
    """What has been found, and what the definition's rules find if that leaves them something to go by."""
    judge = _judge_of(custom)
    if judge is None:
        return found
    blocked = any(cause.reason in _BLOCKING for cause in found)
    return [*found, _UNCHECKED] if blocked else [*found, *judge(new, old)]


@lru_cache(maxsize=256)
def _judge_of(custom: Custom) -> Callable[[Obj, Obj | None], list[Cause]] | None:
    """(new, old) -> what the rules find; None if there are none. The language is loaded only for who uses it."""
    if not has_rules(custom.schema):
        return None
    from netsim.api.structural_cel import compile_rules
    from netsim.api.structural_cel_judge import rule_errors

    rules = compile_rules(custom.schema)
    return lambda new, old: rule_errors(rules, new, old)


def _same_but_status(new: Obj, old: Obj) -> bool:
    """Whether the rules of creation have been passed already: no rule of pods looks at their status, which changes
    far more often than all else."""
    return {**new, "status": None} == {**old, "status": None}
