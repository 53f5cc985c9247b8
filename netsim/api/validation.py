"""What an object must satisfy before it is stored: one entry for creation, one for updates.

Objects are typed (`schema.typed_errors`) and defaulted (`defaults.set_defaults`). Rules that need the cluster's state
(free addresses and ports, existing names) belong to the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netsim.api import (
    kinds,
    validate_metadata,
    validate_pods,
    validate_services,
    validate_small,
    validate_workloads,
)
from netsim.api.errors import Cause
from netsim.api.kinds import Kind, Obj

_RULES: dict[Kind, Callable[[Obj], Iterator[Cause]]] = {
    kinds.PODS: validate_pods.pod,
    kinds.SERVICES: validate_services.service,
    kinds.ENDPOINTS: validate_services.endpoints,
    kinds.ENDPOINT_SLICES: validate_services.endpoint_slice,
    kinds.DEPLOYMENTS: validate_workloads.deployment,
    kinds.REPLICA_SETS: validate_workloads.replica_set,
    kinds.CONFIG_MAPS: validate_small.config_map,
    kinds.SECRETS: validate_small.secret,
    kinds.NODES: validate_small.node,
    kinds.ROLES: validate_small.role,
    kinds.CLUSTER_ROLES: validate_small.role,
    kinds.ROLE_BINDINGS: validate_small.role_binding,
    kinds.CLUSTER_ROLE_BINDINGS: validate_small.cluster_role_binding,
    kinds.LEASES: validate_small.lease,
    kinds.EVENTS: validate_small.event,
    kinds.CERTIFICATE_SIGNING_REQUESTS: validate_small.signing_request,
    kinds.SELF_SUBJECT_ACCESS_REVIEWS: validate_small.access_review,
    kinds.SUBJECT_ACCESS_REVIEWS: validate_small.subject_review,
    kinds.LOCAL_SUBJECT_ACCESS_REVIEWS: validate_small.subject_review,
}

_UPDATE_RULES: dict[Kind, Callable[[Obj, Obj], Iterator[Cause]]] = {
    kinds.PODS: validate_pods.pod_update,
    kinds.SERVICES: validate_services.service_update,
    kinds.ENDPOINT_SLICES: validate_services.endpoint_slice_update,
    kinds.DEPLOYMENTS: validate_workloads.workload_update,
    kinds.REPLICA_SETS: validate_workloads.workload_update,
    kinds.CONFIG_MAPS: validate_small.config_map_update,
    kinds.SECRETS: validate_small.secret_update,
    kinds.NODES: validate_small.node_update,
    kinds.ROLE_BINDINGS: validate_small.role_binding_update,
    kinds.CLUSTER_ROLE_BINDINGS: validate_small.role_binding_update,
    kinds.CERTIFICATE_SIGNING_REQUESTS: validate_small.signing_request_update,
}


def validate_create(kind: Kind, obj: Obj) -> list[Cause]:
    """Every reason why a defaulted object may not be created; answer 422 with `errors.invalid`. Reviews have no
    metadata to check."""
    found = list(validate_metadata.metadata(kind, obj)) if kind.stored else []
    return found + list(_RULES[kind](obj) if kind in _RULES else ())


def validate_update(kind: Kind, new: Obj, old: Obj) -> list[Cause]:
    """Every reason why `old` may not become `new`: the rules of creation, and what is immutable. For the main
    resource and status; a binding has no rules here."""
    found = list(validate_metadata.metadata_update(new, old))
    if not (kind is kinds.PODS and _same_but_status(new, old)):
        found += validate_create(kind, new)
    return found + list(_UPDATE_RULES[kind](new, old) if kind in _UPDATE_RULES else ())


def _same_but_status(new: Obj, old: Obj) -> bool:
    """Whether the rules of creation have been passed already: no rule of pods looks at their status, which changes
    far more often than all else."""
    return {**new, "status": None} == {**old, "status": None}
