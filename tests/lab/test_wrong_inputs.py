"""Wrong input gets the words a user of Kubernetes knows, and changes nothing."""

from __future__ import annotations

import subprocess

import pytest

from support.labs import NETSIM, Lab, until

pytestmark = pytest.mark.root

POD = "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n"

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


def refused(lab: Lab, manifest: str, namespace: str) -> str:
    done = lab.netsim("kubectl", "apply", "-n", namespace, "-f", "-", input=manifest, check=False)
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ("apiVersion: v1\nkind: Pot\nmetadata: {name: x}\n", 'no matches for kind "Pot" in version "v1"'),
        ("kind: Pod\n  metadata: [", "error parsing"),
        (POD.format(name="Not_A_Name", image="nginx"), "metadata.name: Invalid value"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {}\n", "spec.containers: Required value"),
        (
            POD.format(name="x", image="nginx, prots: []"),
            'unknown field "spec.containers[0].prots"',
        ),
        (
            SERVICE.format(name="x", spec="type: NodePort, ports: [{port: 80, nodePort: 80}]"),
            "provided port is not in the valid range",
        ),
        (
            SERVICE.format(name="x", spec="ports: [{port: 80}, {port: 81}]"),
            "spec.ports[0].name: Required value",
        ),
    ],
)
def test_a_wrong_manifest_is_refused(lab: Lab, namespace: str, manifest: str, says: str):
    assert says in refused(lab, manifest, namespace)
    assert lab.get("-n", namespace, "pods,services")["items"] == []


def test_a_node_port_is_given_once(lab: Lab, namespace: str):
    spec = "type: NodePort, ports: [{port: 80, nodePort: 31999}]"
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=SERVICE.format(name="first", spec=spec))
    assert "provided port is already allocated" in refused(lab, SERVICE.format(name="second", spec=spec), namespace)
    assert lab.kubectl("get", "-n", namespace, "service", "-o", "name").split() == ["service/first"]


def test_an_image_that_is_not_in_the_catalogue_is_told_in_the_pods_status(lab: Lab, namespace: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=POD.format(name="typo", image="ngnix"))

    def waiting() -> dict:
        statuses = lab.get("-n", namespace, "pod", "typo")["status"].get("containerStatuses") or [{}]
        return statuses[0].get("state", {}).get("waiting") or {}

    until(lambda: waiting().get("reason") == "ErrImagePull")
    until(lambda: waiting().get("reason") == "ImagePullBackOff")
    shown = lab.kubectl("describe", "-n", namespace, "pod", "typo")
    assert "ngnix" in shown and "nginx" in shown  # what was asked for, and the nearest that there is
    assert "typo" in lab.kubectl("get", "-n", namespace, "pods") and "0/1" in lab.kubectl(
        "get", "-n", namespace, "pods"
    )


def test_a_selector_that_matches_nothing_refuses_connections(lab: Lab, namespace: str):
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {selector: {app: none}, ports: [{port: 80}]}\n"
    )
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=service)
    address = lab.get("-n", namespace, "service", "empty")["spec"]["clusterIP"]
    assert "<none>" in lab.kubectl("describe", "-n", namespace, "service", "empty")

    def refused_at_once() -> bool:
        done = lab.exec("node-1", "curl", "-s", "--max-time", "3", f"http://{address}/", check=False)
        return done.returncode == 7  # curl: connection refused

    until(refused_at_once)


def test_anonymous_is_refused_but_for_health_and_version(lab: Lab):
    def status(path: str) -> str:
        url = f"https://172.30.0.2:6443{path}"
        return lab.exec("client", "curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", url).stdout

    assert [status(p) for p in ("/healthz", "/version", "/api/v1/pods", "/api/v1/namespaces")] == [
        "200",
        "200",
        "403",
        "403",
    ]


def test_a_pod_may_do_what_its_role_allows_and_no_more(lab: Lab, namespace: str):
    lab.kubectl("create", "-n", namespace, "role", "reader", "--verb=get,list", "--resource=pods")
    lab.kubectl(
        "create", "-n", namespace, "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:default"
    )
    pod = POD.format(name="asker", image="busybox, command: [sleep, infinity]")
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod)
    lab.wait_ready("-n", namespace, "pod/asker")
    script = (
        "d=/var/run/secrets/kubernetes.io/serviceaccount; for p in pods services; do curl -s --cacert $d/ca.crt "
        '-H "Authorization: Bearer $(cat $d/token)" -o /dev/null -w "%{http_code} " '
        "https://kubernetes.default.svc/api/v1/namespaces/$(cat $d/namespace)/$p; done"
    )
    assert lab.kubectl("exec", "-n", namespace, "asker", "--", "sh", "-c", script).split() == ["200", "403"]
    lab.kubectl("delete", "-n", namespace, "pod", "asker", "--grace-period=0", "--force")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("exec", "node-1", "--", "sh", "-c", "exit 7"), 7, ""),
        (("exec", "node-1", "--", "no-such-program"), 127, "no-such-program: No such file or directory"),
        (("exec", "node-1", "--", "/etc"), 126, "/etc: Permission denied"),
        (("exec", "nod-1"), 1, "no node or pod `nod-1`; did you mean `node-1`"),
        (("exec", "kube-system/../node-1"), 1, "no node or pod `kube-system/../node-1`"),
        (("capture", "nosuch"), 1, "no node, pod or Service `nosuch`"),
        (("capture", "client", "tcp", "prot", "80"), 1, "filter `tcp prot 80`"),
        (("capture", "client", "-w", "/proc/nosuch/x.pcapng"), 1, "cannot write /proc/nosuch/x.pcapng"),
        (("--lab", "x", "status"), 2, "options come after it"),
    ],
)
def test_the_command_says_what_is_wrong(lab: Lab, words: tuple[str, ...], status: int, says: str):
    done = lab.netsim(*words, check=False)
    assert done.returncode == status
    assert says in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["up", "down", "status", "exec client", "capture client", "kubectl get pods", "token"])
def test_who_is_not_root_is_told_how_to_be(lab: Lab, verb: str):
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    done = subprocess.run(
        [*nobody, *NETSIM, *verb.split()], capture_output=True, text=True, env=lab.environ, timeout=60
    )
    assert done.returncode == 1
    assert f"run: sudo NETSIM_LAB={lab.name} netsim {verb.split(maxsplit=1)[0]} …" in done.stderr
