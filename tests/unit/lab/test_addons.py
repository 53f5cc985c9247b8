"""The cluster DNS of a lab: kubeadm's names, no privileges, settings that the server takes."""

from __future__ import annotations

from typing import Any

import pytest

from netsim.lab.addons import render_addons
from netsim.lab.topology import LabSpec, NodeSpec
from netsim_dns.config import DnsConfig, Quirks
from netsim_dns.main import given_words, load_settings, parser, read_settings

NODE = NodeSpec("node-1", "172.30.0.11")


def addons(user: int = 65532, **fields: Any) -> dict[tuple[str, str], Any]:
    spec = LabSpec("lab", (NODE,), **fields)
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in render_addons(spec, user)}


def test_the_settings_are_kubeadms_profile() -> None:
    text = addons()["ConfigMap", "coredns"]["data"]["dns.yaml"]
    found = read_settings({}, "dns.yaml", text)
    # Nothing is forwarded, so that classes other than IN are refused, as by CoreDNS without a forwarder.
    assert found.dns == DnsConfig(health_listen=None, ready_listen=None, quirks=Quirks(class_ignored=False))
    assert found.forward.zones == () and found.log == (), "nothing leaves a lab, nothing is logged"


def test_the_labs_ranges_and_domain_are_told() -> None:
    text = addons(cluster_domain="k8s.test", pod_cidr="10.1.0.0/16")["ConfigMap", "coredns"]["data"]["dns.yaml"]
    found = read_settings({}, "dns.yaml", text).dns
    assert found.zone == "k8s.test" and "10.1.0.0/16" in found.cluster_cidrs


def test_the_dns_of_a_dual_stack_lab_answers_on_both_families() -> None:
    found = addons(ip_family="dual")
    service = found["Service", "kube-dns"]["spec"]
    assert service["clusterIPs"] == ["10.96.0.10", "fd00:10:96::a"] and service["ipFamilyPolicy"] == "PreferDualStack"
    assert "[::]:53" in found["Deployment", "coredns"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert set(addons()["Service", "kube-dns"]["spec"]) == {"clusterIP", "selector", "ports"}


@pytest.mark.parametrize(("user", "others_than_root"), [(65532, True), (0, False)])
def test_the_servers_have_no_privileges(user: int, others_than_root: bool) -> None:
    pod = addons(user)["Deployment", "coredns"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert (security["runAsUser"], security["runAsNonRoot"]) == (user, others_than_root)
    assert security["capabilities"] == {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]


def test_arguments_and_ports_fit_the_service_and_the_probes(tmp_path: Any) -> None:
    found = addons()
    pod = found["Deployment", "coredns"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][0] == "--config"
    assert container["args"][1] == container["volumeMounts"][0]["mountPath"]
    (tmp_path / "dns.yaml").write_text(found["ConfigMap", "coredns"]["data"]["dns.yaml"])
    options = parser().parse_args(["--config", str(tmp_path), *container["args"][2:]])
    settings, _ = load_settings(given_words(options), options.config)
    assert settings.dns.health_listen == ("0.0.0.0", container["livenessProbe"]["httpGet"]["port"])
    assert settings.dns.ready_listen == ("0.0.0.0", container["readinessProbe"]["httpGet"]["port"])
    ports = {(port["name"], port["targetPort"]) for port in found["Service", "kube-dns"]["spec"]["ports"]}
    assert ports == {("dns", 53), ("dns-tcp", 53), ("metrics", 9153)}
    assert settings.metrics_listen == ("0.0.0.0", 9153)
