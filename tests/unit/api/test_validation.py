"""Validation: what is refused, at which field, in Kubernetes' words."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from netsim.api import kinds
from netsim.api.defaults import set_defaults
from netsim.api.kinds import Kind
from netsim.api.validation import validate_create, validate_update
from support.changes import merged

CONTAINER = {"name": "c", "image": "nginx:1"}
REQUEST = base64.b64encode(
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([]))
    .sign(ed25519.Ed25519PrivateKey.generate(), None)
    .public_bytes(Encoding.PEM)
).decode()
BASES: dict[Kind, dict[str, Any]] = {
    kinds.PODS: {"metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}},
    kinds.SERVICES: {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}},
    kinds.DEPLOYMENTS: {
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}},
        },
    },
    kinds.CONFIG_MAPS: {"metadata": {"name": "c"}, "data": {"a": "b"}},
    kinds.SECRETS: {"metadata": {"name": "s"}, "data": {"a": "YQ=="}},
    kinds.NODES: {"metadata": {"name": "n"}, "spec": {"podCIDR": "10.244.1.0/24"}},
    kinds.NAMESPACES: {"metadata": {"name": "n"}},
    kinds.ENDPOINT_SLICES: {
        "metadata": {"name": "e"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"port": 80}],
    },
    kinds.ENDPOINTS: {"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}]}]},
    kinds.ROLES: {"metadata": {"name": "system:r"}, "rules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["*"]}]},
    kinds.ROLE_BINDINGS: {
        "metadata": {"name": "b"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}],
    },
    kinds.LEASES: {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 40}},
    kinds.EVENTS: {"metadata": {"name": "e", "namespace": "n"}, "involvedObject": {"namespace": "n"}},
    kinds.CERTIFICATE_SIGNING_REQUESTS: {
        "metadata": {"name": "c"},
        "spec": {"request": REQUEST, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
    },
}


@pytest.mark.parametrize("kind", BASES, ids=lambda kind: kind.resource)
def test_good_objects_are_accepted_and_may_stay_as_they_are(kind: Kind) -> None:
    obj = set_defaults(kind, BASES[kind])
    assert validate_create(kind, obj) == []
    assert validate_update(kind, obj, obj) == []


SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
PORT_RANGE = "must be between 1 and 65535, inclusive"
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
C0 = "spec.containers[0]"

REFUSALS: list[tuple[Kind, dict[str, Any], str, str]] = [
    (kinds.CONFIG_MAPS, {"metadata.name": "Bad_Name"}, "metadata.name", f'Invalid value: "Bad_Name": {SUBDOMAIN}'),
    (kinds.CONFIG_MAPS, {"metadata.name": ...}, "metadata.name", "Required value: name or generateName is required"),
    (kinds.CONFIG_MAPS, {"metadata": {"generateName": "A-"}}, "metadata.generateName", 'Invalid value: "Aa": a low'),
    (kinds.SERVICES, {"metadata.name": "a.b"}, "metadata.name", 'Invalid value: "a.b": must not contain dots'),
    (kinds.SERVICES, {"spec.healthCheckNodePort": 30200}, "spec.healthCheckNodePort", "Invalid value: 30200: may only"),
    (
        kinds.SERVICES,
        {"spec.loadBalancerSourceRanges": ["a"]},
        "spec.LoadBalancerSourceRanges",
        "Forbidden: may only be used when `type` is 'LoadBalancer'",
    ),
    (
        kinds.SERVICES,
        {"spec.trafficDistribution": "Near"},
        "spec.trafficDistribution",
        'Unsupported value: "Near": supported values: "PreferClose", "PreferSameZone", "PreferSameNode"',
    ),
    (
        kinds.SERVICES,
        {"spec.externalIPs": ["127.0.0.1"]},
        "spec.externalIPs[0]",
        'Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ),
    (
        kinds.SERVICES,
        {"spec.clusterIPs": ["10.0.0.1", "10.0.0.2"]},
        "spec.clusterIPs",
        'Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family',
    ),
    (
        kinds.SERVICES,
        {"spec.type": "ExternalName", "spec.clusterIP": "10.0.0.1"},
        "spec.clusterIPs",
        "Forbidden: may not be set for ExternalName services",
    ),
    (
        kinds.CERTIFICATE_SIGNING_REQUESTS,
        {"spec.request": "YQ=="},
        "spec.request",
        'Invalid value: "YQ==": PEM block type must be CERTIFICATE REQUEST',
    ),
    (
        kinds.CERTIFICATE_SIGNING_REQUESTS,
        {"spec.usages": ["talk"]},
        "spec.usages[0]",
        'Unsupported value: "talk": supported values: "any", "cert sign"',
    ),
    (
        kinds.CERTIFICATE_SIGNING_REQUESTS,
        {"spec.signerName": "me"},
        "spec.signerName",
        "Invalid value: \"me\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
    ),
    (
        kinds.ROLES,
        {"kind": "Role", "rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
        "rules[0].nonResourceURLs",
        'Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
    ),
    (kinds.NAMESPACES, {"metadata.name": "a.b"}, "metadata.name", 'Invalid value: "a.b": must not contain dots'),
    (kinds.ROLES, {"metadata.name": "a/b"}, "metadata.name", "Invalid value: \"a/b\": may not contain '/'"),
    (kinds.PODS, {"metadata.labels": {"a b": "c"}}, "metadata.labels", 'Invalid value: "a b": name part must consist'),
    (kinds.PODS, {"metadata.labels": {"a": "-"}}, "metadata.labels", 'Invalid value: "-": a valid label must be an'),
    (kinds.PODS, {"metadata.annotations": {"a": "x" * 262145}}, "metadata.annotations", "Too long: may not be more"),
    (
        kinds.PODS,
        {"metadata.finalizers": ["x y"]},
        "metadata.finalizers",
        'Invalid value: "x y": name part must consist',
    ),
    (kinds.PODS, {"metadata.finalizers": ["x"]}, "metadata.finalizers[0]", 'Invalid value: "x": name is neither a'),
    (kinds.NODES, {"metadata.namespace": "x"}, "metadata.namespace", "Forbidden: not allowed on this type"),
    (
        kinds.PODS,
        {"metadata.ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a"}]},
        "metadata.ownerReferences.uid",
        'Invalid value: "": must not be empty',
    ),
    # pods
    (kinds.PODS, {"spec.containers": []}, "spec.containers", "Required value"),
    (kinds.PODS, {"spec.containers.0.name": "A"}, f"{C0}.name", f'Invalid value: "A": {LABEL}'),
    (kinds.PODS, {"spec.containers.0.name": ...}, f"{C0}.name", "Required value"),
    (kinds.PODS, {"spec.containers.0.image": ""}, f"{C0}.image", "Required value"),
    (kinds.PODS, {"spec.containers.1": CONTAINER}, "spec.containers[1].name", 'Duplicate value: "c"'),
    (kinds.PODS, {"spec.containers.0.ports": [{}]}, f"{C0}.ports[0].containerPort", "Required value"),
    (
        kinds.PODS,
        {"spec.containers.0.ports": [{"containerPort": 70000}]},
        f"{C0}.ports[0].containerPort",
        f"Invalid value: 70000: {PORT_RANGE}",
    ),
    (
        kinds.PODS,
        {"spec.containers.0.ports": [{"containerPort": 1, "protocol": "HTTP"}]},
        f"{C0}.ports[0].protocol",
        'Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"',
    ),
    (
        kinds.PODS,
        {"spec.containers.0.ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
        f"{C0}.ports[1].name",
        'Duplicate value: "a"',
    ),
    (
        kinds.PODS,
        {"spec.containers.0.ports": [{"containerPort": 1, "name": "a-very-long-port-name"}]},
        f"{C0}.ports[0].name",
        'Invalid value: "a-very-long-port-name": must be no more than 15 characters',
    ),
    (kinds.PODS, {"spec.containers.0.env": [{"name": "a=b"}]}, f"{C0}.env[0].name", 'Invalid value: "a=b": a valid'),
    (
        kinds.PODS,
        {"spec.containers.0.imagePullPolicy": "Sometimes"},
        f"{C0}.imagePullPolicy",
        'Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ),
    (
        kinds.PODS,
        {"spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        f"{C0}.volumeMounts[0].name",
        'Not found: "v"',
    ),
    (
        kinds.PODS,
        {"spec.containers.0.resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
        f"{C0}.resources.requests",
        'Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (kinds.PODS, {"spec.containers.0.livenessProbe": {}}, f"{C0}.livenessProbe", "Required value: must specify a hand"),
    (
        kinds.PODS,
        {"spec.containers.0.livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}},
        f"{C0}.livenessProbe.successThreshold",
        "Invalid value: 2: must be 1",
    ),
    (
        kinds.PODS,
        {"spec.restartPolicy": "Maybe"},
        "spec.restartPolicy",
        'Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"',
    ),
    (
        kinds.PODS,
        {"spec.dnsPolicy": "None", "spec.dnsConfig": {"searches": ["a"]}},
        "spec.dnsConfig.nameservers",
        "Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
    ),
    (
        kinds.PODS,
        {"spec.volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]},
        "spec.volumes[0].hostPath",
        "Forbidden: may not specify more than 1 volume type",
    ),
    (kinds.PODS, {"spec.hostAliases": [{"ip": "x"}]}, "spec.hostAliases[0].ip", f'Invalid value: "x": {IP}'),
    (
        kinds.PODS,
        {"spec.tolerations": [{"operator": "Equal"}]},
        "spec.tolerations[0].operator",
        'Invalid value: "Equal": operator must be Exists when `key` is empty',
    ),
    # services
    (kinds.SERVICES, {"spec.ports": []}, "spec.ports", "Required value"),
    (kinds.SERVICES, {"spec.ports.0.port": 0}, "spec.ports[0].port", f"Invalid value: 0: {PORT_RANGE}"),
    (kinds.SERVICES, {"spec.ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name", "Required value"),
    (
        kinds.SERVICES,
        {"spec.ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]},
        "spec.ports[1].name",
        'Duplicate value: "a"',
    ),
    (
        kinds.SERVICES,
        {"spec.ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]},
        "spec.ports[1]",
        'Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":1,"TargetPort":0,"NodePort":0}',
    ),
    (
        kinds.SERVICES,
        {"spec.type": "Balancer"},
        "spec.type",
        'Unsupported value: "Balancer": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ),
    (
        kinds.SERVICES,
        {"spec.ports.0.nodePort": 30080},
        "spec.ports[0].nodePort",
        "Forbidden: may not be used when `type` is 'ClusterIP'",
    ),
    (
        kinds.SERVICES,
        {
            "spec.type": "NodePort",
            "spec.ports": [{"port": 1, "name": "a", "nodePort": 30080}, {"port": 2, "name": "b", "nodePort": 30080}],
        },
        "spec.ports[1].nodePort",
        "Duplicate value: 30080",
    ),
    (
        kinds.SERVICES,
        {"spec.type": "NodePort", "spec.clusterIP": "None"},
        "spec.clusterIPs[0]",
        "Invalid value: \"None\": may not be set to 'None' for NodePort services",
    ),
    (kinds.SERVICES, {"spec.clusterIP": "10.0.0.256"}, "spec.clusterIPs[0]", f'Invalid value: "10.0.0.256": {IP}'),
    (kinds.SERVICES, {"spec.type": "ExternalName"}, "spec.externalName", "Required value"),
    (
        kinds.SERVICES,
        {"spec.externalTrafficPolicy": "Local"},
        "spec.externalTrafficPolicy",
        'Invalid value: "Local": may only be set for externally-accessible services',
    ),
    (
        kinds.SERVICES,
        {"spec.sessionAffinity": "ClientIP", "spec.sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 90000}}},
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
        "Invalid value: 90000: must be greater than 0 and less than 86400",
    ),
    (kinds.SERVICES, {"spec.ports.0.targetPort": "A"}, "spec.ports[0].targetPort", 'Invalid value: "A": must contain'),
    # workloads
    (
        kinds.DEPLOYMENTS,
        {"spec.replicas": -1},
        "spec.replicas",
        "Invalid value: -1: must be greater than or equal to 0",
    ),
    (kinds.DEPLOYMENTS, {"spec.selector": ...}, "spec.selector", "Required value"),
    (
        kinds.DEPLOYMENTS,
        {"spec.selector": {}},
        "spec.selector",
        "Invalid value: {}: empty selector is invalid for deployment",
    ),
    (
        kinds.DEPLOYMENTS,
        {"spec.template.metadata.labels": {"a": "c"}},
        "spec.template.metadata.labels",
        'Invalid value: {"a":"c"}: `selector` does not match template `labels`',
    ),
    (
        kinds.DEPLOYMENTS,
        {"spec.template.spec.restartPolicy": "Never"},
        "spec.template.spec.restartPolicy",
        'Unsupported value: "Never": supported values: "Always"',
    ),
    (
        kinds.DEPLOYMENTS,
        {"spec.template.spec.containers.0.image": ""},
        "spec.template.spec.containers[0].image",
        "Required value",
    ),
    (
        kinds.DEPLOYMENTS,
        {"spec.strategy": {"type": "Recreate", "rollingUpdate": {}}},
        "spec.strategy.rollingUpdate",
        "Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ),
    (
        kinds.DEPLOYMENTS,
        {"spec.strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
        "spec.strategy.rollingUpdate.maxUnavailable",
        'Invalid value: "0%": may not be 0 when `maxSurge` is 0',
    ),
    (
        kinds.DEPLOYMENTS,
        {"spec.strategy": {"rollingUpdate": {"maxSurge": "x"}}},
        "spec.strategy.rollingUpdate.maxSurge",
        "Invalid value: \"x\": a valid percent string must be a numeric string followed by an ending '%'",
    ),
    (
        kinds.DEPLOYMENTS,
        {"spec.progressDeadlineSeconds": 5, "spec.minReadySeconds": 5},
        "spec.progressDeadlineSeconds",
        "Invalid value: 5: must be greater than minReadySeconds",
    ),
    # the rest
    (kinds.CONFIG_MAPS, {"data": {"a/b": ""}}, "data[a/b]", 'Invalid value: "a/b": a valid config key must consist'),
    (kinds.CONFIG_MAPS, {"data": {"a": "x" * 1048577}}, "[]", "Too long: may not be more than 1048576 bytes"),
    (kinds.SECRETS, {"type": "kubernetes.io/tls"}, "data[tls.crt]", "Required value"),
    (
        kinds.SECRETS,
        {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}},
        "data[.dockerconfigjson]",
        "Invalid value: \"<secret contents redacted>\": invalid character 'x' looking for beginning of value",
    ),
    (kinds.SECRETS, {"type": "kubernetes.io/basic-auth"}, "data[username]", "Required value"),
    (
        kinds.NODES,
        {"spec.taints": [{"key": "a", "effect": "No"}]},
        "metadata.taints[0].effect",
        'Unsupported value: "No": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
    ),
    (kinds.ENDPOINT_SLICES, {"addressType": ...}, "addressType", "Required value"),
    (
        kinds.ENDPOINT_SLICES,
        {"endpoints": [{"addresses": ["fd00::1"]}]},
        "endpoints[0].addresses",
        'Invalid value: "fd00::1": must be an IPv4 address',
    ),
    (kinds.ENDPOINTS, {"subsets": [{"addresses": [{"ip": "x"}]}]}, "subsets[0].addresses[0].ip", 'Invalid value: "x"'),
    (kinds.ROLES, {"rules": [{}]}, "rules[0].verbs", "Required value: verbs must contain at least one value"),
    (
        kinds.ROLE_BINDINGS,
        {"roleRef.kind": "Rule"},
        "roleRef.kind",
        'Unsupported value: "Rule": supported values: "Role", "ClusterRole"',
    ),
    (kinds.ROLE_BINDINGS, {"subjects": [{"kind": "User"}]}, "subjects[0].name", "Required value"),
    (kinds.LEASES, {"spec.leaseDurationSeconds": 0}, "spec.leaseDurationSeconds", "Invalid value: 0: must be greater"),
    (kinds.EVENTS, {"involvedObject.namespace": "x"}, "involvedObject.namespace", 'Invalid value: "x": does not match'),
    (kinds.CERTIFICATE_SIGNING_REQUESTS, {"spec.usages": []}, "spec.usages", "Required value"),
]


@pytest.mark.parametrize(("kind", "changes", "field", "message"), REFUSALS)
def test_refusals(kind: Kind, changes: dict[str, Any], field: str, message: str) -> None:
    found = validate_create(kind, set_defaults(kind, merged(BASES[kind], changes)))
    assert any(cause.field == field and cause.message.startswith(message) for cause in found), found


def test_headless_and_external_services_need_no_ports() -> None:
    for spec in ({"clusterIP": "None"}, {"type": "ExternalName", "externalName": "example.com."}):
        service = set_defaults(kinds.SERVICES, {"metadata": {"name": "s"}, "spec": spec})
        assert validate_create(kinds.SERVICES, service) == []


def test_the_same_port_may_serve_two_protocols() -> None:
    ports = [{"name": "a", "port": 53, "protocol": "UDP"}, {"name": "b", "port": 53}]
    service = set_defaults(kinds.SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": ports}})
    assert validate_create(kinds.SERVICES, service) == []


def test_reviews() -> None:
    neither = validate_create(kinds.SELF_SUBJECT_ACCESS_REVIEWS, {"spec": {}})
    assert "exactly one of nonResourceAttributes or resourceAttributes" in neither[0].message
    asked = {"spec": {"resourceAttributes": {"verb": "get"}}}
    assert validate_create(kinds.SELF_SUBJECT_ACCESS_REVIEWS, asked) == []
    assert validate_create(kinds.SUBJECT_ACCESS_REVIEWS, asked)[0].field == "spec.user"


UPDATES: list[tuple[Kind, dict[str, Any], dict[str, Any], str, str]] = [
    (kinds.CONFIG_MAPS, {}, {"metadata.name": "b"}, "metadata.name", 'Invalid value: "b": field is immutable'),
    (
        kinds.CONFIG_MAPS,
        {"immutable": True},
        {"data": {}},
        "data",
        "Forbidden: field is immutable when `immutable` is set",
    ),
    (kinds.SECRETS, {}, {"type": "x/y"}, "type", 'Invalid value: "x/y": field is immutable'),
    (
        kinds.DEPLOYMENTS,
        {},
        {"spec.selector": {"matchLabels": {"a": "b", "c": "d"}}},
        "spec.selector",
        'Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable',
    ),
    (
        kinds.SERVICES,
        {"spec.clusterIP": "10.96.0.5"},
        {"spec.clusterIP": "10.96.0.6"},
        "spec.clusterIPs[0]",
        'Invalid value: ["10.96.0.6"]: may not change once set',
    ),
    (kinds.PODS, {}, {"spec.nodeName": "n"}, "spec", "Forbidden: pod updates may not change fields other than"),
    (kinds.PODS, {}, {"spec.containers.0.command": ["x"]}, "spec", "Forbidden: pod updates may not change fields"),
    (kinds.PODS, {}, {"spec.terminationGracePeriodSeconds": 1}, "spec", "Forbidden: pod updates may not change"),
    (
        kinds.PODS,
        {},
        {"spec.containers.1": {"name": "d", "image": "x"}},
        "spec.containers",
        "Forbidden: pod updates may not add or remove containers",
    ),
    (
        kinds.PODS,
        {"spec.activeDeadlineSeconds": 5},
        {"spec.activeDeadlineSeconds": 6},
        "spec.activeDeadlineSeconds",
        "Invalid value: 6: must be less than or equal to previous value",
    ),
    (
        kinds.PODS,
        {"spec.tolerations": [{"key": "a", "operator": "Exists"}]},
        {"spec.tolerations": []},
        "spec.tolerations",
        "Forbidden: existing toleration can not be modified except its tolerationSeconds",
    ),
    (
        kinds.PODS,
        {"metadata.deletionTimestamp": "t"},
        {"metadata.finalizers": ["a/b"]},
        "metadata.finalizers",
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers",
    ),
    (kinds.NODES, {}, {"spec": {"podCIDR": "10.1.0.0/24"}}, "spec.podCIDRs", "Forbidden: node updates may not change"),
    (
        kinds.NODES,
        {},
        {"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.244.1.0/24"]}},
        "spec.podCIDRs",
        "Forbidden: node updates may not change",
    ),
    (kinds.ENDPOINT_SLICES, {}, {"addressType": "FQDN"}, "addressType", 'Invalid value: "FQDN": field is immutable'),
    (
        kinds.ROLE_BINDINGS,
        {},
        {"roleRef": {"kind": "Role", "name": "x"}},
        "roleRef",
        'Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"x"}: cannot change roleRef',
    ),
]


@pytest.mark.parametrize(("kind", "first", "then", "field", "message"), UPDATES)
def test_forbidden_updates(kind: Kind, first: dict[str, Any], then: dict[str, Any], field: str, message: str) -> None:
    start = merged(BASES[kind], first)
    old, new = set_defaults(kind, start), set_defaults(kind, merged(start, then))
    found = validate_update(kind, new, old)
    assert any(cause.field == field and cause.message.startswith(message) for cause in found), found


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (kinds.PODS, {"spec.containers.0.image": "nginx:2"}),
        (kinds.PODS, {"spec.activeDeadlineSeconds": 5}),
        (kinds.PODS, {"spec.tolerations": [{"key": "x", "operator": "Exists"}]}),
        (kinds.PODS, {"metadata.labels": {"a": "b"}}),
        (kinds.SERVICES, {"spec.type": "NodePort"}),
        (kinds.SERVICES, {"spec.selector": {"x": "y"}}),
        (kinds.DEPLOYMENTS, {"spec.replicas": 0, "spec.template.spec.containers.0.image": "x"}),
    ],
)
def test_allowed_updates(kind: Kind, changes: dict[str, Any]) -> None:
    old, new = set_defaults(kind, BASES[kind]), set_defaults(kind, merged(BASES[kind], changes))
    assert validate_update(kind, new, old) == []


def test_the_claim_of_an_ephemeral_volume_is_judged_with_its_pod() -> None:
    where = "spec.volumes[0].ephemeral.volumeClaimTemplate"

    def problems(ephemeral: dict[str, Any]) -> list[str]:
        pod = merged(BASES[kinds.PODS], {"spec.volumes": [{"name": "v", "ephemeral": ephemeral}]})
        return [
            f"{cause.field}: {cause.message}" for cause in validate_create(kinds.PODS, set_defaults(kinds.PODS, pod))
        ]

    assert problems({}) == [f"{where}: Required value"]
    assert problems({"volumeClaimTemplate": {}}) == [
        f"{where}.spec.accessModes: Required value: at least 1 access mode is required",
        f"{where}.spec.resources[storage]: Required value",
    ]


def nodes_with(*keys: str) -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": key, "operator": "Exists"} for key in keys]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def test_a_gated_pod_may_still_be_given_fewer_nodes() -> None:
    gated = {"spec.schedulingGates": [{"name": "a.b/c"}], "spec.nodeSelector": {"a": "b"}}
    start = merged(BASES[kinds.PODS], {**gated, "spec.affinity": nodes_with("x")})
    old = set_defaults(kinds.PODS, start)

    def problems(changes: dict[str, Any]) -> list[str]:
        new = set_defaults(kinds.PODS, merged(start, changes))
        return [f"{cause.field}: {cause.message}" for cause in validate_update(kinds.PODS, new, old)]

    assert problems({"spec.nodeSelector": {"a": "b", "c": "d"}, "spec.affinity": nodes_with("x", "y")}) == []
    (why,) = problems({"spec.nodeSelector": {"c": "d"}})
    assert why.endswith("only additions to spec.nodeSelector are allowed (no mutations or deletions)")
    (why,) = problems({"spec.affinity": nodes_with("y")})
    assert ".nodeSelectorTerms[0]: " in why and why.endswith("only additions are allowed (no mutations or deletions)")
    (why,) = problems({"spec.affinity": ...})
    assert why.endswith("no additions/deletions to non-empty NodeSelectorTerms list are allowed")
    assert problems({"spec.affinity": {**nodes_with("x"), "podAffinity": {}}})[0].startswith("spec: Forbidden: pod upd")
    free = {"spec.schedulingGates": ..., "spec.nodeSelector": ..., "spec.affinity": ...}
    assert validate_update(kinds.PODS, old, set_defaults(kinds.PODS, merged(start, free)))[0].field.startswith("spec")


def test_ephemeral_containers_are_not_added_by_an_update() -> None:
    added = {"spec.ephemeralContainers": [{"name": "d", "image": "busybox:1"}]}
    plain = set_defaults(kinds.PODS, BASES[kinds.PODS])
    debugged = set_defaults(kinds.PODS, merged(BASES[kinds.PODS], added))
    assert validate_update(kinds.PODS, debugged, plain)[0].field == "spec"


@pytest.mark.parametrize(
    ("volume", "field"),
    [
        ({"configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}, "configMap.items[0].path"),
        ({"secret": {"secretName": "s", "items": [{"key": "k", "path": "/x"}]}}, "secret.items[0].path"),
        (
            {"projected": {"sources": [{"secret": {"name": "s", "items": [{"key": "k", "path": "a/../b"}]}}]}},
            "projected.sources[0].secret.items[0].path",
        ),
        ({"configMap": {"name": "c", "items": [{"key": "k", "path": "a/..b"}]}}, ""),
    ],
)
def test_files_of_a_volume_stay_below_it(volume: dict[str, Any], field: str) -> None:
    pod = merged(BASES[kinds.PODS], {"spec.volumes": [{"name": "v", **volume}]})
    found = [cause.field for cause in validate_create(kinds.PODS, set_defaults(kinds.PODS, pod))]
    assert found == ([f"spec.volumes[0].{field}"] if field else [])
