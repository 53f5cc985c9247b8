from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.agent.env import ConfigError, container_env, expand, references, service_env


def service(name, namespace="shop", ip="10.96.0.7", ports=None):
    ports = ports or [{"port": 80, "name": "http"}, {"port": 53, "protocol": "UDP"}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": ports}}


def fetch(kind, name):
    return {("ConfigMap", "conf"): {"key": b"value"}, ("Secret", "cred"): {"pw": b"s3cret"}}.get((kind, name))


CAPACITY = {"cpu": Fraction(4), "memory": Fraction(2**30)}


def env(pod, container, services=()):
    return container_env(pod, container, services, fetch, CAPACITY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"), ("$A $", "$A $"), ("$(A", "$(A"), ("$()", "$()")],
)
def test_expand(text, expected):
    assert expand(text, {"A": "1"}) == expected


@given(st.text(alphabet="ab()1 "))
def test_text_without_dollars_stays(text):
    assert expand(text, {"a": "x"}) == text


def test_service_variables(pod):
    found = service_env(pod(), [service("redis-master"), service("other", "elsewhere"), service("headless", ip="None")])
    assert found == {
        "REDIS_MASTER_SERVICE_HOST": "10.96.0.7",
        "REDIS_MASTER_SERVICE_PORT": "80",
        "REDIS_MASTER_SERVICE_PORT_HTTP": "80",
        "REDIS_MASTER_PORT": "tcp://10.96.0.7:80",
        "REDIS_MASTER_PORT_80_TCP": "tcp://10.96.0.7:80",
        "REDIS_MASTER_PORT_80_TCP_PROTO": "tcp",
        "REDIS_MASTER_PORT_80_TCP_PORT": "80",
        "REDIS_MASTER_PORT_80_TCP_ADDR": "10.96.0.7",
        "REDIS_MASTER_PORT_53_UDP": "udp://10.96.0.7:53",
        "REDIS_MASTER_PORT_53_UDP_PROTO": "udp",
        "REDIS_MASTER_PORT_53_UDP_PORT": "53",
        "REDIS_MASTER_PORT_53_UDP_ADDR": "10.96.0.7",
    }


def test_without_service_links_only_the_api_shows(pod):
    services = [service("a"), service("kubernetes", "default", "10.96.0.1", [{"port": 443, "name": "https"}])]
    found = service_env(pod(enableServiceLinks=False), services)
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1" and found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert not any(k.startswith("A_") for k in found)


def test_sources_and_order(pod):
    wanted = pod()
    wanted["metadata"]["labels"] = {"app": "web"}
    limits = {"limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi"}}
    variables = [
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)2 $(DB_SERVICE_HOST) $(LATER)"},
        {"name": "LATER", "value": "x"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "key"}}},
        {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "cred", "key": "pw"}}},
        {"name": "OPT", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "key", "optional": True}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
        {"name": "ALL", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Gi"}}},
    ]
    container = {
        "name": "c",
        "env": variables,
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "conf"}}],
        "resources": limits,
    }
    live = {**wanted, "status": {"podIP": "10.244.1.7"}}
    found = env(live, container, [service("db")])
    expected = {
        "A": "1",
        "B": "12 10.96.0.7 $(LATER)",
        "IP": "10.244.1.7",
        "APP": "web",
        "KEY": "value",
        "PW": "s3cret",
    }
    expected |= {"CPU": "2", "MEM": "64", "ALL": "1", "P_key": "value"}
    assert expected.items() <= found.items() and "OPT" not in found
    assert references(wanted, container) == {("ConfigMap", "conf"), ("ConfigMap", "no"), ("Secret", "cred")}


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "k"}}, 'configmap "no" not found'),
        ({"secretKeyRef": {"name": "cred", "key": "k"}}, "couldn't find key k in Secret cred"),
    ],
)
def test_missing(pod, variable, message):
    with pytest.raises(ConfigError, match=message):
        env(pod(), {"name": "c", "env": [{"name": "X", "valueFrom": variable}]})
