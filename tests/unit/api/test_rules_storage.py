"""Rules of storage, of what admits and limits, and of how traffic comes in: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.deprecations import update_warnings_of, warnings_of
from netsim.api.kinds import Kind
from netsim.api.validation import validate_create, validate_update
from support.changes import merged

PV, PVC, SC, VAC, DRIVER, CSI_NODE, CAPACITY, ATTACHMENT = (
    kinds.PERSISTENT_VOLUMES, kinds.PERSISTENT_VOLUME_CLAIMS, kinds.STORAGE_CLASSES, kinds.VOLUME_ATTRIBUTES_CLASSES,
    kinds.CSI_DRIVERS, kinds.CSI_NODES, kinds.CSI_STORAGE_CAPACITIES, kinds.VOLUME_ATTACHMENTS,
)  # fmt: skip
ING, CLASS, NETPOL, LIMITS, QUOTA, PRIORITY, LEASE = (
    kinds.INGRESSES, kinds.INGRESS_CLASSES, kinds.NETWORK_POLICIES, kinds.LIMIT_RANGES, kinds.RESOURCE_QUOTAS,
    kinds.PRIORITY_CLASSES, kinds.LEASES,
)  # fmt: skip
NAME: dict[str, Any] = {"metadata": {"name": "n"}}
BASES: dict[Kind, dict[str, Any]] = {
    PV: {**NAME, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                          "csi": {"driver": "d.io", "volumeHandle": "h"}}},
    PVC: {**NAME, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    SC: {**NAME, "provisioner": "x.io/y", "allowedTopologies": [
        {"matchLabelExpressions": [{"key": "z", "values": ["a"]}]}]},
    VAC: {**NAME, "driverName": "d.io", "parameters": {"a": "b"}},
    DRIVER: {**NAME, "spec": {"tokenRequests": [{"audience": "a"}]}},
    CSI_NODE: {**NAME, "spec": {"drivers": [{"name": "d.io", "nodeID": "i", "topologyKeys": ["a/b"]}]}},
    CAPACITY: {**NAME, "storageClassName": "s"},
    ATTACHMENT: {**NAME, "spec": {"attacher": "d.io", "nodeName": "n", "source": {"inlineVolumeSpec": {
        "accessModes": ["ReadWriteOnce"], "csi": {"driver": "d.io", "volumeHandle": "h"}}}}},
    ING: {**NAME, "spec": {"defaultBackend": {"resource": {"apiGroup": "x.io", "kind": "K", "name": "n"}}}},
    CLASS: {**NAME, "spec": {"controller": "x.io/y", "parameters": {"kind": "K", "name": "n"}}},
    NETPOL: {**NAME, "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}},
    LIMITS: {**NAME, "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
    QUOTA: {**NAME, "spec": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "Exists"}]}}},
    PRIORITY: {**NAME, "value": 1},
    LEASE: {**NAME, "spec": {}},
}  # fmt: skip
BAD_NAME = "a lowercase RFC 1123 subdomain must consist of"
MODES = '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
INLINE = "spec.source.inlineVolumeSpec"
TOPOLOGY = "allowedTopologies[0].matchLabelExpressions"
SCOPE = "spec.scopeSelector.matchExpressions"


@pytest.mark.parametrize("kind", BASES, ids=lambda kind: kind.resource)
def test_good_objects_are_accepted_and_may_stay_as_they_are(kind: Kind) -> None:
    obj = set_defaults(kind, BASES[kind])
    assert validate_create(kind, obj) == []
    assert validate_update(kind, obj, obj) == []
    assert set_defaults(kind, obj) == obj


def sourced(**source: Any) -> dict[str, Any]:
    return {"spec.csi": ..., **{f"spec.{name}": value for name, value in source.items()}}


REFUSALS: list[tuple[Kind, dict[str, Any], str, str]] = [
    (PV, {"spec.volumeMode": ""}, "spec.volumeMode", 'Unsupported value: "": supported values: "Block", "Filesystem"'),
    (PV, {"spec.capacity": ...}, "spec.capacity", 'Unsupported value: null: supported values: "storage"'),
    (PV, {"spec.capacity": {"storage": "-1"}}, "spec.capacity[storage]", "Invalid value: -1: must be a valid resource"),
    (PV, {"spec.csi.driver": "D d"}, "spec.csi.driver", f'Invalid value: "D d": {BAD_NAME}'),
    (PV, {"spec.csi.driver": "d" * 64}, "spec.csi.driver", "Too long: may not be more than 63 bytes"),
    (PV, {"spec.csi.nodePublishSecretRef": {"name": "a"}}, "spec.csi.nodePublishSecretRef.namespace", "Required value"),
    (PV, {"spec.nfs": {"server": "s", "path": "/"}}, "spec.csi", "Forbidden: may not specify more than 1 volume type"),
    (PV, {"spec.nodeAffinity": {}}, "spec.nodeAffinity.required", "Required value: must specify required node constr"),
    (PV, {"spec.volumeAttributesClassName": ""}, "spec.volumeAttributesClassName", "Required value: an empty string"),
    (PV, sourced(hostPath={"path": "/", "type": "X"}), "spec.hostPath.type", 'Unsupported value: "X": supported value'),
    (PV, sourced(fc={}), "spec.fc.targetWWNs", "Required value: must specify either targetWWNs or wwids, but not both"),
    (PV, sourced(iscsi={"targetPortal": "p", "iqn": "x"}), "spec.iscsi.iqn", 'Invalid value: "x": must be valid form'),
    (PV, sourced(flocker={}), "spec.flocker", "Required value: one of datasetName and datasetUUID is required"),
    (PV, sourced(quobyte={"volume": "v", "registry": "x"}), "spec.quobyte.registry", 'Invalid value: "x": must be a h'),
    (PV, sourced(azureDisk={"diskName": "d", "diskURI": "u"}), "spec.azureDisk.diskURI", 'Unsupported value: "u": sup'),
    (PV, sourced(cinder={"volumeID": "v", "secretRef": {}}), "spec.cinder.secretRef.name", "Required value"),
    (PV, sourced(gcePersistentDisk={}), "spec.persistentDisk.pdName", "Required value"),
    (PV, sourced(), "spec", "Required value: must specify a volume type"),
    (PVC, {"spec.volumeMode": ""}, "spec.volumeMode", 'Unsupported value: "": supported values: "Block", "Filesystem"'),
    (PVC, {"spec.accessModes": ["x"]}, "spec.accessModes", f'Unsupported value: "x": supported values: {MODES}'),
    (
        PVC,
        {f"spec.dataSource{end}": {"kind": "PersistentVolumeClaim", "name": f"n{end}"} for end in ("", "Ref")},
        "spec",
        "Invalid value: {}: must match dataSourceRef",
    ),
    (SC, {"volumeBindingMode": ""}, "volumeBindingMode", 'Unsupported value: "": supported values: "Immediate", "Wai'),
    (SC, {f"{TOPOLOGY.replace('[0]', '.0')}.0.values": []}, f"{TOPOLOGY}[0].values", "Required value"),
    (SC, {"allowedTopologies": [{}]}, TOPOLOGY, 'Duplicate value: ""'),
    (VAC, {"driverName": "a b"}, "driverName", 'Invalid value: "a b": name part must consist of'),
    (VAC, {"parameters": {"": "x"}}, "parameters", 'Invalid value: "": field can not be empty.'),
    (DRIVER, {"spec.fsGroupPolicy": ""}, "spec.fsGroupPolicy", 'Unsupported value: "": supported values: "File", "No'),
    (
        DRIVER,
        {"spec.volumeLifecycleModes": ["x"]},
        "spec.volumeLifecycleModes",
        'Unsupported value: "x": supported val',
    ),
    (
        DRIVER,
        {"spec.tokenRequests": [{"audience": "a"}] * 2},
        "spec.tokenRequests[1].audience",
        'Duplicate value: "a"',
    ),
    (
        DRIVER,
        {"spec.nodeAllocatableUpdatePeriodSeconds": 9},
        "spec.nodeAllocatableUpdatePeriodSeconds",
        "Invalid value: 9: must be greater than or equal to 10 seconds",
    ),
    (CSI_NODE, {"spec.drivers.0.name": "a b"}, "spec.drivers[0].name", f'Invalid value: "a b": {BAD_NAME}'),
    (CSI_NODE, {"spec.drivers.0.topologyKeys": [""]}, "spec.drivers[0]", "Required value"),
    (CSI_NODE, {"spec.drivers.0.allocatable": {"count": -1}}, "spec.drivers[0].allocatable.count", "Invalid value: -1"),
    (CAPACITY, {"storageClassName": "a b"}, "storageClassName", f'Invalid value: "a b": {BAD_NAME}'),
    (ATTACHMENT, {"spec.nodeName": ""}, "spec.nodeName", f'Invalid value: "": {BAD_NAME}'),
    (ATTACHMENT, {f"{INLINE}.capacity": {"storage": "1"}}, f"{INLINE}.capacity", "Forbidden: may not be specified in"),
    (ATTACHMENT, {f"{INLINE}.csi": ...}, f"{INLINE}.csi", "Required value: has to be specified in the context of inl"),
    (
        ING,
        {"spec.defaultBackend.resource.apiGroup": ""},
        "spec.defaultBackend.resource.apiGroup",
        f'Invalid value: "": {BAD_NAME}',
    ),
    (
        ING,
        {"spec.rules": [{"host": "10.0.0.1"}]},
        "spec.rules[0].host",
        'Invalid value: "10.0.0.1": must be a DNS name',
    ),
    (CLASS, {"spec.parameters.scope": ""}, "spec.parameters.scope", 'Unsupported value: "": supported values: "Clust'),
    (CLASS, {"spec.parameters.apiGroup": "a b"}, "spec.parameters.apiGroup", f'Invalid value: "a b": {BAD_NAME}'),
    (
        CLASS,
        {"spec.parameters.scope": "Namespace", "spec.parameters.namespace": "a.b"},
        "spec.parameters.namespace",
        'Invalid value: "a.b": must not contain dots',
    ),
    (
        NETPOL,
        {"spec.ingress.0.ports.0.protocol": ""},
        "spec.ingress[0].ports[0].protocol",
        'Unsupported value: "": sup',
    ),
    (
        NETPOL,
        {"spec.ingress.0.ports.0": {"endPort": 9}},
        "spec.ingress[0].ports[0].endPort",
        "Invalid value: 9: may not be specified when `port` is not specified",
    ),
    (
        NETPOL,
        {"spec.ingress.0.ports.0.port": "UP"},
        "spec.ingress[0].ports[0].port",
        'Invalid value: "UP": must contain',
    ),
    (LIMITS, {"spec.limits.0.type": ""}, "spec.limits[0].type", 'Invalid value: "": name part must be non-empty'),
    (
        LIMITS,
        {"spec.limits.0.max": {"a/b/c": "1"}},
        "spec.limits[0].max[a/b/c]",
        'Invalid value: "a/b/c": doesn\'t follow extended resource name standard',
    ),
    (QUOTA, {"spec.hard": {"x.io/y": "1.5"}}, "spec.hard[x.io/y]", 'Invalid value: "1.5": must be an integer'),
    (QUOTA, {f"{SCOPE}.0.operator": "In"}, f"{SCOPE}.values", "Required value: must be at least one value when"),
    (PRIORITY, {"preemptionPolicy": ""}, "preemptionPolicy", "Required value"),
    (PRIORITY, {"preemptionPolicy": "x"}, "preemptionPolicy", 'Unsupported value: "x": supported values: "PreemptLow'),
]


@pytest.mark.parametrize(("kind", "changes", "field", "message"), REFUSALS)
def test_refusals(kind: Kind, changes: dict[str, Any], field: str, message: str) -> None:
    found = validate_create(kind, set_defaults(kind, merged(BASES[kind], changes)))
    assert any(cause.field == field and cause.message.startswith(message) for cause in found), found


def test_a_new_ingress_may_name_its_class_twice() -> None:
    twice = {"metadata.annotations": {"kubernetes.io/ingress.class": "a"}, "spec.ingressClassName": "a"}
    assert validate_create(ING, set_defaults(ING, merged(BASES[ING], twice))) == []


def test_of_a_driver_on_a_node_only_the_number_of_volumes_changes() -> None:
    old = set_defaults(CSI_NODE, BASES[CSI_NODE])
    assert validate_update(CSI_NODE, merged(old, {"spec.drivers.0.allocatable": {"count": 3}}), old) == []
    found = validate_update(CSI_NODE, merged(old, {"spec.drivers.0.nodeID": "x"}), old)
    assert [cause.field for cause in found] == ["spec.drivers"]


def test_a_volume_gets_its_secret_for_growing_later_and_no_other() -> None:
    old = set_defaults(PV, BASES[PV])
    secret = {"name": "s", "namespace": "n"}
    assert validate_update(PV, merged(old, {"spec.csi.controllerExpandSecretRef": secret}), old) == []
    assert validate_update(PV, merged(old, {"spec.csi.nodeExpandSecretRef": secret}), old)


@pytest.mark.parametrize("given", ["dataSource", "dataSourceRef"])
def test_a_claims_source_is_in_both_fields(given: str) -> None:
    claim = merged(BASES[PVC], {f"spec.{given}": {"kind": "PersistentVolumeClaim", "name": "x"}})
    spec = set_defaults(PVC, claim)["spec"]
    assert (
        spec["dataSource"] == spec["dataSourceRef"] == {"apiGroup": None, "kind": "PersistentVolumeClaim", "name": "x"}
    )
    stored = merged(set_defaults(PVC, claim), {"spec.dataSourceRef": ...})  # by a version that kept one of them
    assert validate_update(PVC, set_defaults(PVC, claim), stored) == []


def test_a_claims_source_elsewhere_is_dropped() -> None:
    elsewhere = {"kind": "PersistentVolumeClaim", "name": "x", "namespace": "y"}
    assert "dataSourceRef" not in set_defaults(PVC, merged(BASES[PVC], {"spec.dataSourceRef": elsewhere}))["spec"]


def test_what_is_behind_gates_that_are_off_is_dropped() -> None:
    assert set_defaults(LEASE, merged(BASES[LEASE], {"spec": {"strategy": "x", "preferredHolder": "y"}}))["spec"] == {}
    driver = set_defaults(DRIVER, merged(BASES[DRIVER], {"spec.preventPodSchedulingIfMissing": True}))
    assert "preventPodSchedulingIfMissing" not in driver["spec"]


def test_drivers_without_secrets_for_their_tokens_are_warned_of() -> None:
    driver = set_defaults(DRIVER, BASES[DRIVER])
    (warning,) = warnings_of(DRIVER, driver)
    assert warning.startswith("spec.serviceAccountTokenInSecrets is unset; ")
    assert update_warnings_of(DRIVER, driver, driver) == []
    assert update_warnings_of(DRIVER, driver, merged(driver, {"spec.tokenRequests": ...})) == [warning]
    assert warnings_of(DRIVER, merged(driver, {"spec.serviceAccountTokenInSecrets": True})) == []
